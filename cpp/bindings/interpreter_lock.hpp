// The interpreter's lock: released while the kernels work, taken back for a moment to look for Ctrl-C.
//
// Before Python 3.14 a thread that asks for the lock while the interpreter exits is ended by pthread_exit, which
// unwinds its stack through destructors, and that aborts the process. Such a thread waits for the end of the process
// instead, as Python 3.14 makes it do.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <thread>

namespace aigc_fast::bindings {

template <class Take>
void take_or_wait_for_exit(const Take& take) {
    try {
        take();
    } catch (...) {  // only ever pthread_exit's unwinding, which must not go on, nor be left by another way
        for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
}

// Without the lock for the time of a scope.
class LockReleased {
  public:
    LockReleased() : thread_(PyEval_SaveThread()) {}
    ~LockReleased() {
        take_or_wait_for_exit([this] { PyEval_RestoreThread(thread_); });
    }
    LockReleased(const LockReleased&) = delete;
    LockReleased& operator=(const LockReleased&) = delete;

  private:
    PyThreadState* thread_;
};

// With the lock again, inside the scope of a LockReleased.
class LockTaken {
  public:
    LockTaken() {
        take_or_wait_for_exit([this] { state_ = PyGILState_Ensure(); });
    }
    ~LockTaken() { PyGILState_Release(state_); }
    LockTaken(const LockTaken&) = delete;
    LockTaken& operator=(const LockTaken&) = delete;

  private:
    PyGILState_STATE state_{};
};

// Raises KeyboardInterrupt, or what else a signal handler raises, while the lock is released.
inline void check_signals() {
    const LockTaken lock;
    if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
}

// The same for callers that ask often: looks every tenth of a second, since the lock may be another thread's.
class SignalWatch {
  public:
    void operator()() {
        if (Clock::now() < next_) return;
        check_signals();
        next_ = Clock::now() + kInterval;
    }

  private:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::milliseconds kInterval{100};
    Clock::time_point next_ = Clock::now() + kInterval;
};

}  // namespace aigc_fast::bindings

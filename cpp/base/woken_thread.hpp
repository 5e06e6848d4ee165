// Where a thread runs once it is woken. Linux may put it on its waker's CPU although others are idle (measured on a
// virtual machine of two): they then share one CPU for milliseconds, longer than most searches take. So the waker
// forbids its own CPU to a sleeping thread, which takes the ban back when it runs.
#pragma once

#include <pthread.h>

#ifdef __linux__
#include <sched.h>
#endif

namespace aigc_fast {

#ifdef __linux__

class WokenThread {
  public:
    // By the waker, while the thread sleeps. Where the system refuses, nothing changes.
    void keep_away_from_here(pthread_t thread) {
        const int here = sched_getcpu();
        if (here < 0 || here >= CPU_SETSIZE || pthread_getaffinity_np(thread, sizeof before_, &before_) != 0) return;
        cpu_set_t elsewhere = before_;
        CPU_CLR(here, &elsewhere);
        banned_ = CPU_ISSET(here, &before_) && CPU_COUNT(&elsewhere) > 0 &&
                  pthread_setaffinity_np(thread, sizeof elsewhere, &elsewhere) == 0;
    }

    // By the thread itself.
    void go_anywhere() {
        if (banned_) pthread_setaffinity_np(pthread_self(), sizeof before_, &before_);
        banned_ = false;
    }

  private:
    cpu_set_t before_;
    bool banned_ = false;
};

#else

class WokenThread {
  public:
    void keep_away_from_here(pthread_t) {}
    void go_anywhere() {}
};

#endif

}  // namespace aigc_fast

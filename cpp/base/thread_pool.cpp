#include "base/thread_pool.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/woken_thread.hpp"

namespace aigc_fast {
namespace {

using Body = std::function<void(std::size_t task, std::size_t worker)>;

// How long a thread looks out for what comes next before it sleeps. A search hands out several jobs in quick
// succession, and to wake a thread takes longer than most of the gaps between them.
constexpr std::chrono::microseconds kPatience{50};

template <class Condition>
void look_out(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!condition() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

struct Job {
    Job(const Body& to_run, std::size_t task_count, std::size_t helpers)
        : body(to_run), tasks(task_count), helpers_wanted(helpers) {}

    const Body& body;
    const std::size_t tasks;
    std::atomic<std::size_t> next_task{0};
    // Changed under the pool's mutex:
    std::size_t helpers_wanted;                  // how many pool threads may still join
    std::atomic<std::size_t> helpers_inside{0};  // how many are at work now
    std::size_t next_worker = 1;                 // the caller is worker 0
    std::exception_ptr error;                    // the first one
};

class Pool {
  public:
    void run(Job& job) {
        std::unique_lock lock(mutex_);
        add_threads(job.helpers_wanted);
        jobs_.push_back(&job);
        ++announced_;
        wake_helpers(job.helpers_wanted);
        lock.unlock();
        drain(job, 0);
        lock.lock();
        jobs_.remove(&job);
        const auto alone = [&] { return job.helpers_inside == 0; };
        if (alone()) return;
        lock.unlock();
        look_out(alone);
        lock.lock();
        done_.wait(lock, alone);
    }

  private:
    struct Helper {
        const pthread_t thread = pthread_self();
        // Changed under the pool's mutex:
        bool asleep = false;
        Helper* asleep_before = nullptr;
        std::condition_variable wake;
        WokenThread woken;
    };

    // Detached: workers live as long as the process, so that exit and fork have nothing to join. Where the system
    // gives no more threads, those that are there (at least the caller) do the work.
    void add_threads(std::size_t wanted) {
        try {
            for (; threads_ < wanted; ++threads_) std::thread([this] { work(); }).detach();
        } catch (const std::system_error&) {
        }
    }

    // As many as are wanted beside those that look out.
    void wake_helpers(std::size_t wanted) {
        for (; wanted > looking_out_ && last_asleep_ != nullptr; --wanted) {
            Helper& helper = *last_asleep_;
            last_asleep_ = helper.asleep_before;
            helper.asleep = false;
            helper.woken.keep_away_from_here(helper.thread);
            helper.wake.notify_one();
        }
    }

    void drain(Job& job, std::size_t worker) {
        try {
            for (std::size_t task; (task = job.next_task.fetch_add(1)) < job.tasks;) job.body(task, worker);
        } catch (...) {
            job.next_task.store(job.tasks);
            std::lock_guard lock(mutex_);
            if (!job.error) job.error = std::current_exception();
        }
    }

    void work() {
        std::fesetenv(FE_DFL_ENV);  // a thread inherits its creator's
        Helper self;
        std::unique_lock lock(mutex_);
        for (;;) {
            if (Job* job = wanted_job(); job != nullptr) {
                --job->helpers_wanted;
                ++job->helpers_inside;
                const std::size_t worker = job->next_worker++;
                lock.unlock();
                drain(*job, worker);
                lock.lock();
                if (--job->helpers_inside == 0) done_.notify_all();
                continue;
            }
            ++looking_out_;
            const std::size_t seen = announced_;
            lock.unlock();
            look_out([&] { return announced_ != seen; });
            lock.lock();
            --looking_out_;
            if (wanted_job() != nullptr) continue;
            self.asleep = true;
            self.asleep_before = last_asleep_;
            last_asleep_ = &self;
            self.wake.wait(lock, [&] { return !self.asleep; });
            lock.unlock();
            self.woken.go_anywhere();
            lock.lock();
        }
    }

    Job* wanted_job() const {
        for (Job* job : jobs_)
            if (job->helpers_wanted > 0 && job->next_task.load() < job->tasks) return job;
        return nullptr;
    }

    std::mutex mutex_;
    std::condition_variable done_;
    // Changed under the mutex:
    std::list<Job*> jobs_;
    std::atomic<std::size_t> announced_{0};  // jobs so far
    Helper* last_asleep_ = nullptr;
    std::size_t threads_ = 0;
    std::size_t looking_out_ = 0;
};

// The pool is never destroyed: its detached threads may outlive static destructors. In a forked child its threads
// are gone and its mutex may be locked by one of them, so the child leaves it behind and makes a new one.
std::atomic<Pool*> the_pool{nullptr};

Pool& pool() {
    static const int registered = pthread_atfork(nullptr, nullptr, [] { the_pool.store(nullptr); });
    static_cast<void>(registered);
    Pool* current = the_pool.load();
    if (current == nullptr) {
        Pool* fresh = new Pool;
        if (the_pool.compare_exchange_strong(current, fresh)) return *fresh;
        delete fresh;  // another thread was quicker; no thread of ours runs in it yet
    }
    return *current;
}

}  // namespace

void parallel_for(std::size_t tasks, int threads,
                  const std::function<void(std::size_t task, std::size_t worker)>& body) {
    const std::size_t useful = std::min(tasks, static_cast<std::size_t>(std::max(1, threads)));
    if (useful <= 1) {
        for (std::size_t task = 0; task < tasks; ++task) body(task, 0);
        return;
    }
    Job job(body, tasks, useful - 1);
    pool().run(job);
    if (job.error) std::rethrow_exception(job.error);
}

}  // namespace aigc_fast

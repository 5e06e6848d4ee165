// The thread pool: every task once, exceptions, nesting, concurrent callers, threads that slept, forks.
#ifdef __linux__
#include <sched.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/thread_pool.hpp"
#include "check.hpp"

using aigc_fast::parallel_for;

namespace {

void every_task_runs_once() {
    for (const std::size_t tasks : {0, 1, 2, 3, 7, 100, 10000})
        for (const int threads : {-1, 0, 1, 2, 3, 8}) {
            std::vector<std::atomic<int>> runs(tasks);
            std::vector<std::atomic<int>> inside(8);  // of each worker
            parallel_for(tasks, threads, [&](std::size_t task, std::size_t worker) {
                CHECK(worker < static_cast<std::size_t>(std::max(1, threads)));
                CHECK(inside[worker].fetch_add(1) == 0);  // a worker's scratch memory is its own
                runs[task].fetch_add(1);
                inside[worker].fetch_sub(1);
            });
            for (const auto& count : runs) CHECK(count.load() == 1);
        }
}

void results_are_visible_to_the_caller() {
    for (int repeat = 0; repeat < 200; ++repeat) {
        std::vector<int> squares(50);
        parallel_for(squares.size(), 4,
                     [&](std::size_t task, std::size_t) { squares[task] = static_cast<int>(task * task); });
        for (std::size_t i = 0; i < squares.size(); ++i) CHECK(squares[i] == static_cast<int>(i * i));
    }
}

void several_threads_take_part() {
    // Each task waits until two are inside at once: a pool that ran them in turn would never end.
    std::atomic<int> inside{0};
    parallel_for(2, 2, [&](std::size_t, std::size_t) {
        inside.fetch_add(1);
        while (inside.load() < 2) std::this_thread::yield();
    });
    CHECK(inside.load() == 2);
}

void an_exception_is_rethrown_and_the_pool_works_on() {
    for (const int threads : {1, 2, 8})
        for (const std::size_t bad : {std::size_t{0}, std::size_t{37}, std::size_t{99}}) {
            std::atomic<int> runs{0};
            std::string message;
            try {
                parallel_for(100, threads, [&](std::size_t task, std::size_t) {
                    runs.fetch_add(1);
                    if (task == bad) throw std::runtime_error("task " + std::to_string(task));
                });
            } catch (const std::runtime_error& error) {
                message = error.what();
            }
            CHECK(message == "task " + std::to_string(bad));
            CHECK(runs.load() >= 1 && runs.load() <= 100);
            every_task_runs_once();
        }
    // Many throw: one is reported, none is lost in a thread.
    CHECK_THROWS(std::logic_error,
                 parallel_for(1000, 8, [](std::size_t, std::size_t) { throw std::logic_error("all"); }));
}

void an_exception_stops_the_remaining_tasks() {
    std::atomic<int> runs{0};
    CHECK_THROWS(int, parallel_for(1u << 20, 2, [&](std::size_t, std::size_t) {
                     runs.fetch_add(1);
                     throw 1;
                 }));
    CHECK(runs.load() < 1 << 19);
}

void calls_nest() {
    std::atomic<long> sum{0};
    parallel_for(6, 3, [&](std::size_t outer, std::size_t) {
        parallel_for(6, 3, [&](std::size_t middle, std::size_t) {
            parallel_for(6, 2, [&](std::size_t inner, std::size_t) {
                sum.fetch_add(static_cast<long>(36 * outer + 6 * middle + inner));
            });
        });
    });
    CHECK(sum.load() == 215 * 216 / 2);
    CHECK_THROWS(std::runtime_error, parallel_for(4, 4, [](std::size_t, std::size_t) {
                     parallel_for(4, 4, [](std::size_t task, std::size_t) {
                         if (task == 2) throw std::runtime_error("inside");
                     });
                 }));
}

void many_callers_at_once() {
    std::vector<std::thread> callers;
    std::atomic<int> right{0};
    for (int caller = 0; caller < 8; ++caller)
        callers.emplace_back([&, caller] {
            for (int repeat = 0; repeat < 50; ++repeat) {
                std::atomic<long> sum{0};
                const auto tasks = static_cast<std::size_t>(1 + (caller + repeat) % 40);
                parallel_for(tasks, 1 + repeat % 5,
                             [&](std::size_t task, std::size_t) { sum.fetch_add(static_cast<long>(task)); });
                if (sum.load() == static_cast<long>(tasks * (tasks - 1) / 2)) right.fetch_add(1);
            }
        });
    for (std::thread& caller : callers) caller.join();
    CHECK(right.load() == 8 * 50);
}

// Two threads, of which one has slept, are inside at once; returns whether `holds` did in both.
template <class Condition>
bool holds_in_woken_threads(Condition holds) {
    std::atomic<int> inside{0};
    std::atomic<int> right{0};
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    parallel_for(2, 2, [&](std::size_t, std::size_t) {
        right.fetch_add(holds());
        inside.fetch_add(1);
        while (inside.load() < 2) std::this_thread::yield();
    });
    return right.load() == 2;
}

void woken_threads_may_run_anywhere() {
    for (int repeat = 0; repeat < 50; ++repeat) CHECK(holds_in_woken_threads([] { return true; }));
#ifdef __linux__
    cpu_set_t all;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    for (int repeat = 0; repeat < 50; ++repeat)
        CHECK(holds_in_woken_threads([&] {
            cpu_set_t own;
            return sched_getaffinity(0, sizeof own, &own) == 0 && CPU_EQUAL(&own, &all);
        }));
    // Nor do they need a second CPU: a thread of one's own, whose affinity new threads inherit, has one.
    std::thread([] {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(sched_getcpu(), &one);
        CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
        std::atomic<int> runs{0};
        for (int repeat = 0; repeat < 5; ++repeat) {
            std::this_thread::sleep_for(std::chrono::milliseconds(3));
            parallel_for(20, 6, [&](std::size_t, std::size_t) { runs.fetch_add(1); });
        }
        CHECK(runs.load() == 100);
    }).join();
#endif
}

// True where the child exits with 0 within a time that only a hang exceeds.
bool child_succeeds() {
    const pid_t child = fork();
    if (child == 0) {
        std::atomic<int> runs{0};
        parallel_for(500, 4, [&](std::size_t, std::size_t) { runs.fetch_add(1); });
        // Two at once: the child has threads of its own.
        std::atomic<int> inside{0};
        parallel_for(2, 2, [&](std::size_t, std::size_t) {
            inside.fetch_add(1);
            while (inside.load() < 2) std::this_thread::yield();
        });
        _exit(runs.load() == 500 ? 0 : 1);
    }
    for (int waited = 0; waited < 30000; ++waited) {
        int status = 0;
        if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    return false;
}

[[maybe_unused]] void forks() {
    CHECK(child_succeeds());  // while idle
    std::atomic<bool> stop{false};
    std::thread busy([&] {
        while (!stop.load()) parallel_for(64, 4, [](std::size_t, std::size_t) { std::this_thread::yield(); });
    });
    bool succeeds = true;
    for (int repeat = 0; repeat < 20 && succeeds; ++repeat) succeeds = child_succeeds();
    CHECK(succeeds);
    stop.store(true);
    busy.join();
    every_task_runs_once();  // the parent's pool is as it was
}

}  // namespace

int main() {
    every_task_runs_once();
    results_are_visible_to_the_caller();
    several_threads_take_part();
    an_exception_is_rethrown_and_the_pool_works_on();
    an_exception_stops_the_remaining_tasks();
    calls_nest();
    many_callers_at_once();
    woken_threads_may_run_anywhere();
#ifndef __SANITIZE_THREAD__  // ThreadSanitizer cannot follow a fork
    forks();
#endif
    return test::result();
}

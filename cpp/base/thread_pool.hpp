// A small pool of threads shared by all calls. The caller works too, so a call with one thread starts none, and a
// busy pool never blocks anybody. After fork the child gets a pool of its own.
#pragma once

#include <cstddef>
#include <functional>

namespace aigc_fast {

// Runs body(task, worker) for every task in [0, tasks), in ascending order of start, on up to `threads` threads
// including the caller; worker in [0, threads) tells them apart, so that each can own scratch memory. The first
// exception thrown by a body stops the remaining tasks and is rethrown here.
void parallel_for(std::size_t tasks, int threads,
                  const std::function<void(std::size_t task, std::size_t worker)>& body);

}  // namespace aigc_fast

#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"

namespace moe {

// The process's threads at a limit of tasks (pids.max, ulimit -u).
//
// Libraries start threads when load comes, and some lose work for good if they
// cannot. So this keeps a reserve of threads that do nothing: where a thread
// cannot be started because of a limit, one of them ends and makes room for it.
// For that it stands before pthread_create, for all of the program. Linking it
// in is enough; what is below is thread-safe.
namespace thread_reserve {

// What to do when a thread can be started in no way; `reason` names the limit.
// Called by who wanted the thread, maybe under locks of a library: must not
// start a thread. The first one, from the start of the program on, writes a
// line like the log's to standard error and ends the process with status 1.
void SetFailureHandler(std::function<void(const absl::Status& reason)> handler);

// Starts up to `threads` threads for the reserve, as many as the limit allows
// with one to spare; returns how many there are.
int Fill(int threads);

// How many threads could not be started.
int64_t num_lost();

}  // namespace thread_reserve
}  // namespace moe

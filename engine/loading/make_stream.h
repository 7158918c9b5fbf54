#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/core/stream.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// Makes the stream of a rank's device, where its model computes. `threads` are
// the rank's own, borrowed, and outlive the stream.
using StreamFactory =
    std::function<absl::StatusOr<std::unique_ptr<Stream>>(ThreadPool& threads)>;

// Of the CPU: work runs on the caller's thread and `threads`.
absl::StatusOr<std::unique_ptr<Stream>> MakeCpuStream(ThreadPool& threads);

}  // namespace moe

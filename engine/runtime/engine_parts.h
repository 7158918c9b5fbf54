#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/models/model.h"
#include "engine/runtime/engine.h"
#include "kernels/core/stream.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// What an engine is built of and owns. They are destroyed from the last to the
// first.
struct EngineParts {
  std::unique_ptr<ThreadPool> threads;
  std::unique_ptr<Stream> stream;  // the model's; may be null
  std::unique_ptr<Model> model;
  // The time of deadlines, timings and the stall check. Any thread calls it.
  std::function<absl::Time()> clock = absl::Now;
};

// An engine that runs, on a KV cache of options.num_blocks. kInvalidArgument
// naming an option; kResourceExhausted if the memory is not there.
absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(
    EngineParts parts, const EngineOptions& options);

}  // namespace moe

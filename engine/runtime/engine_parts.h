#pragma once

#include <functional>
#include <memory>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/models/model.h"
#include "engine/runtime/step_executor.h"
#include "kernels/core/steady_clock.h"
#include "kernels/core/stream.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// The objects that an engine owns. Destroyed from the last to the first.
struct EngineParts {
  // The groups of the ranks, from which the other parts borrow; may be null.
  // The type is erased, since `runtime` does not depend on `distributed`.
  std::shared_ptr<void> ranks;
  std::unique_ptr<ThreadPool> threads;
  std::unique_ptr<Stream> stream;  // the model's; may be null
  std::unique_ptr<Model> model;
  // Null: the engine creates a LocalExecutor with a KV cache of
  // options.num_blocks.
  std::unique_ptr<StepExecutor> executor;
  // The clock of timings, deadlines and the stall check. Thread-safe.
  std::function<absl::Time()> clock = SteadyNow;
};

}  // namespace moe

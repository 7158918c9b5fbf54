#pragma once

#include <functional>
#include <memory>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/models/model.h"
#include "engine/runtime/steady_clock.h"
#include "engine/runtime/step_executor.h"
#include "kernels/core/stream.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// What an engine is built of and owns. They are destroyed from the last to the
// first.
struct EngineParts {
  // What the others borrow of what many ranks share; may be null. Owned with
  // them, by whatever type it has.
  std::shared_ptr<void> ranks;
  std::unique_ptr<ThreadPool> threads;
  std::unique_ptr<Stream> stream;  // the model's; may be null
  std::unique_ptr<Model> model;
  // Null: one is made, of the model alone and a KV cache of options.num_blocks.
  std::unique_ptr<StepExecutor> executor;
  // The time of timings, deadlines and the stall check. Any thread calls it.
  std::function<absl::Time()> clock = SteadyNow;
  // The time that Request::deadline speaks of; asked once for each request.
  std::function<absl::Time()> system_clock = absl::Now;
};

}  // namespace moe

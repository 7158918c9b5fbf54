#pragma once

#include <cstdint>

#include "engine/runtime/engine.h"
#include "engine/scheduler/scheduler.h"

namespace moe {

inline SchedulerOptions ToSchedulerOptions(const EngineOptions& options) {
  SchedulerOptions result;
  result.max_step_tokens = options.max_step_tokens;
  result.prefill_chunk_tokens = options.prefill_chunk_tokens;
  result.max_running_sequences = options.max_running_sequences;
  return result;
}

// Upper bound of the logit rows of a rank batch: one for each running sequence,
// and the rows for prompt logprobs.
inline int64_t MaxLogitRows(const EngineOptions& options) {
  return options.max_running_sequences +
         ToSchedulerOptions(options).max_prompt_logprob_rows;
}

}  // namespace moe

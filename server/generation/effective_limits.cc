#include "server/generation/effective_limits.h"

#include <algorithm>

#include "engine/runtime/engine.h"

namespace moe {

RequestLimits EffectiveLimits(const ServedModel& model) {
  RequestLimits limits = model.limits;
  limits.max_answers = std::min(limits.max_answers,
                                model.engine->options().max_running_sequences);
  limits.max_logprobs =
      std::min(limits.max_logprobs, model.info.model.vocab_size);
  return limits;
}

}  // namespace moe

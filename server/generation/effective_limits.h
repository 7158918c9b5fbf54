#pragma once

#include "server/config/request_limits.h"
#include "server/generation/served_model.h"

namespace moe {

// The configured limits, lowered to what the model and its engine allow.
RequestLimits EffectiveLimits(const ServedModel& model);

}  // namespace moe

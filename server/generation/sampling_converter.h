#pragma once

#include "engine/sampling/sampling_params.h"
#include "proto/moe/v1/generation.pb.h"
#include "server/generation/field_checks.h"

namespace moe {

// Read parts of a request into `out`, which holds the model's defaults. Fields
// that are not set keep them; fields with a bad value are violations in
// `checks`.
void ReadSampling(const v1::Sampling& in, FieldChecks& checks,
                  SamplingParams& out);
void ReadPenalties(const v1::Penalties& in, FieldChecks& checks,
                   SamplingParams& out);

}  // namespace moe

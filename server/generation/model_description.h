#pragma once

#include "proto/moe/v1/generation.pb.h"
#include "server/generation/served_model.h"

namespace moe {

// What Inference.GetModel answers.
v1::Model DescribeModel(const ServedModel& model);

}  // namespace moe

#pragma once

#include "proto/moe/v1/generation.pb.h"
#include "server/generation/served_model.h"

namespace moe {

// What GetModel tells of a model.
v1::Model DescribeModel(const ServedModel& model);

}  // namespace moe

#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/checkpoint/deepspeed/weight_merge.h"

namespace moe {

// The largest absolute difference between two copies of a weight, of equal
// shape; infinity where one is NaN and the other is not. 0 if they are equal;
// equal checksums suffice, and then no values are read. kDataLoss if one cannot
// be read.
absl::StatusOr<double> MaxDifference(const WeightPart& a, const WeightPart& b,
                                     const std::string& name);

}  // namespace moe

#pragma once

#include <iosfwd>

#include "absl/status/status.h"
#include "engine/checkpoint/checkpoint.h"

namespace moe {

// Prints the contents of a checkpoint: configuration, parameters, experts of
// each layer, every kind of tensor with its shape and size, warnings. `all`:
// each tensor separately.
absl::Status InspectCheckpoint(const Checkpoint& checkpoint, bool all,
                               std::ostream& out);

// Reads every value. Prints how many tensors, bytes, NaN and infinite values
// there are and the largest magnitude; kDataLoss if a tensor cannot be read or
// has values that are not finite.
absl::Status VerifyCheckpoint(const Checkpoint& checkpoint, std::ostream& out);

}  // namespace moe

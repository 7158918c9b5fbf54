#pragma once

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/core/stream.h"
#include "kernels/ops/linear.h"

namespace moe::cpu {

// The CPU arm of moe::GroupedLinear; the arguments are checked.
// kFailedPrecondition if a weight was packed for another instruction set than
// the one in use.
absl::Status GroupedLinear(absl::Span<const LinearGroup> groups,
                           CpuStream& stream);

}  // namespace moe::cpu

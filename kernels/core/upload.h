#pragma once

#include "absl/status/statusor.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// `host`, a tensor of HostBackend(), in the memory of the stream's device: the
// tensor itself where that is the host's, else a copy, for which it waits.
// For loading, not for steps. kResourceExhausted without memory.
absl::StatusOr<Tensor> Upload(Tensor host, Stream& stream);

}  // namespace moe

#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace moe {

// The instruction sets for which the CPU kernels are compiled and that this
// machine has, best first, in lower case: "avx3" (AVX-512), "avx2", "sse4",
// "ssse3", "scalar", or "neon" and kin on ARM. Not affected by
// SetIsa.
std::vector<std::string> SupportedIsas();

// The one in use: the best, unless SetIsa chose another.
std::string ChosenIsa();

// Makes all CPU kernels use `name`, one of SupportedIsas(), or the best again
// with "auto". To be called before the first weight is packed, as packed
// weights serve one vector length only; not while kernels run. kInvalidArgument
// naming the choices for any other name.
absl::Status SetIsa(absl::string_view name);

}  // namespace moe

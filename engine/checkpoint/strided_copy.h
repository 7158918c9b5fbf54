#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/checkpoint/checkpoint.h"
#include "kernels/core/dtype.h"

namespace moe {

// The tensor of `dims` and `strides` (in elements, not negative) that begins at
// element `offset` of `storage`, row-major: a view of the storage if it is laid
// out so already, else a copy. `swap_bytes`: elements are of the other byte
// order. kDataLoss if it leaves the storage, has overlapping elements or more
// than kMaxTensorRank dimensions; kResourceExhausted without memory for a copy.
absl::StatusOr<HostWeight> ReadStrided(absl::string_view storage, DType dtype,
                                       int64_t offset,
                                       absl::Span<const int64_t> dims,
                                       absl::Span<const int64_t> strides,
                                       bool swap_bytes);

}  // namespace moe

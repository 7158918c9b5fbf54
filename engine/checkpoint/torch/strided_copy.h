#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/checkpoint/host_weight.h"
#include "kernels/core/dtype.h"

namespace moe {

// kDataLoss if the tensor of `dims` and `strides` (in elements, not negative)
// that begins at element `offset` exceeds a storage of `in_storage` elements,
// or has more than kMaxTensorRank dimensions.
absl::Status CheckStrided(int64_t in_storage, int64_t offset,
                          absl::Span<const int64_t> dims,
                          absl::Span<const int64_t> strides);

// The tensor of `dims` and `strides` (in elements, not negative) that begins at
// element `offset` of `storage`, row-major: a view of the storage if it is laid
// out so already, else a copy. `swap_bytes`: elements are of the other byte
// order. kDataLoss as CheckStrided, or if it has overlapping elements;
// kResourceExhausted without memory for a copy.
absl::StatusOr<HostWeight> ReadStrided(absl::string_view storage, DType dtype,
                                       int64_t offset,
                                       absl::Span<const int64_t> dims,
                                       absl::Span<const int64_t> strides,
                                       bool swap_bytes);

}  // namespace moe

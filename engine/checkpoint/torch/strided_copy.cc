#include "engine/checkpoint/torch/strided_copy.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// Copies `size` bytes: one element, if its bytes are to be swapped.
void CopyElements(const char* from, size_t size, bool swap_bytes, char* to) {
  std::memcpy(to, from, size);
  if (swap_bytes) std::reverse(to, to + size);
}

bool IsRowMajor(absl::Span<const int64_t> dims,
                absl::Span<const int64_t> strides) {
  int64_t expected = 1;
  for (size_t i = dims.size(); i > 0; --i) {
    if (dims[i - 1] != 1 && strides[i - 1] != expected) return false;
    expected *= dims[i - 1];
  }
  return true;
}

}  // namespace

absl::Status CheckStrided(int64_t in_storage, int64_t offset,
                          absl::Span<const int64_t> dims,
                          absl::Span<const int64_t> strides) {
  if (dims.size() > kMaxTensorRank) {
    return absl::DataLossError(absl::StrCat("has ", dims.size(),
                                            " dimensions, at most ",
                                            kMaxTensorRank, " are supported"));
  }
  // Elements in all, and 1 + the last one's distance from the first.
  int64_t count = 1, extent = 1;
  bool fits = true;
  for (size_t i = 0; i < dims.size(); ++i) {
    int64_t distance;
    fits = fits && !__builtin_mul_overflow(count, dims[i], &count) &&
           !__builtin_mul_overflow(std::max<int64_t>(dims[i] - 1, 0),
                                   strides[i], &distance) &&
           !__builtin_add_overflow(extent, distance, &extent);
  }
  if (count == 0) extent = 0;
  if (!fits || offset > in_storage || extent > in_storage - offset) {
    return absl::DataLossError(
        absl::StrCat("[", absl::StrJoin(dims, ", "), "] with strides [",
                     absl::StrJoin(strides, ", "), "] from element ", offset,
                     " leaves its storage of ", in_storage, " elements"));
  }
  return absl::OkStatus();
}

absl::StatusOr<HostWeight> ReadStrided(absl::string_view storage, DType dtype,
                                       int64_t offset,
                                       absl::Span<const int64_t> dims,
                                       absl::Span<const int64_t> strides,
                                       bool swap_bytes) {
  const size_t size = SizeOf(dtype);
  const int64_t in_storage = static_cast<int64_t>(storage.size() / size);
  RETURN_IF_ERROR(CheckStrided(in_storage, offset, dims, strides));
  int64_t count = 1;
  for (int64_t dim : dims) count *= dim;
  HostWeight weight;
  const char* first = storage.data() + offset * static_cast<int64_t>(size);
  const bool aligned = reinterpret_cast<uintptr_t>(first) % size == 0;
  if (count > 0 && aligned && !swap_bytes && IsRowMajor(dims, strides)) {
    weight.view = MakeView(const_cast<char*>(first), dtype, dims);
    return weight;
  }
  if (count > in_storage) {
    return absl::DataLossError(absl::StrCat("[", absl::StrJoin(dims, ", "),
                                            "] has more elements than "
                                            "its storage of ",
                                            in_storage));
  }
  ASSIGN_OR_RETURN(weight.owned, Tensor::Allocate(dtype, dims));
  weight.view = weight.owned.view();
  // Adjacent elements are copied at once.
  int64_t run = 1;
  size_t rank = dims.size();
  if (!swap_bytes && rank > 0 &&
      (strides[rank - 1] == 1 || dims[rank - 1] == 1)) {
    run = dims[--rank];
  }
  char* to = weight.owned.ptr<char>();
  std::array<int64_t, kMaxTensorRank> index = {};
  for (int64_t n = 0; n < count; n += run) {
    int64_t element = 0;
    for (size_t i = 0; i < rank; ++i) element += index[i] * strides[i];
    CopyElements(first + element * static_cast<int64_t>(size),
                 static_cast<size_t>(run) * size, swap_bytes,
                 to + n * static_cast<int64_t>(size));
    for (size_t i = rank; i > 0 && ++index[i - 1] == dims[i - 1]; --i) {
      index[i - 1] = 0;
    }
  }
  return weight;
}

}  // namespace moe

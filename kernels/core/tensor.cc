#include "kernels/core/tensor.h"

#include <cassert>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/core/cpu_backend.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, a 512-bit vector

// Of memory for such a tensor: a multiple of kAlignment, never none, so that an
// empty tensor is not "absent".
absl::StatusOr<size_t> AllocatedBytes(DType dtype,
                                      absl::Span<const int64_t> dims) {
  if (dims.size() > kMaxTensorRank) {
    return absl::InvalidArgumentError(absl::StrCat(
        "Tensor: [", absl::StrJoin(dims, ", "), "] has ", dims.size(),
        " dimensions, at most ", kMaxTensorRank, " are supported"));
  }
  int64_t num_bytes = static_cast<int64_t>(SizeOf(dtype));
  for (int64_t dim : dims) {
    if (dim < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "Tensor: negative dimension in [", absl::StrJoin(dims, ", "), "]"));
    }
    if (__builtin_mul_overflow(num_bytes, dim, &num_bytes)) {
      return absl::ResourceExhaustedError(
          absl::StrCat("Tensor: ", DTypeName(dtype), " [",
                       absl::StrJoin(dims, ", "), "] exceeds 2^63 bytes"));
    }
  }
  const size_t size =
      num_bytes == 0 ? kAlignment : static_cast<size_t>(num_bytes);
  return (size + kAlignment - 1) / kAlignment * kAlignment;
}

absl::Status NoMemory(DType dtype, absl::Span<const int64_t> dims,
                      size_t size) {
  return absl::ResourceExhaustedError(
      absl::StrCat("Tensor: no memory for ", DTypeName(dtype), " [",
                   absl::StrJoin(dims, ", "), "], ", size, " bytes"));
}

}  // namespace

int64_t TensorView::num_elements() const {
  int64_t n = 1;
  for (int i = 0; i < rank; ++i) n *= dims[i];
  return n;
}

bool TensorView::is_contiguous() const {
  int64_t expected = 1;
  for (int i = rank - 1; i >= 0; --i) {
    // The stride of a dimension of one element is never used.
    if (dims[i] != 1 && strides[i] != expected) return false;
    expected *= dims[i];
  }
  return true;
}

std::string TensorView::ShapeString() const {
  return absl::StrCat(DTypeName(dtype), " [",
                      absl::StrJoin(dims.begin(), dims.begin() + rank, ", "),
                      "]");
}

TensorView TensorView::Rows(int64_t begin, int64_t end) const {
  assert(rank >= 1 && 0 <= begin && begin <= end && end <= dims[0]);
  TensorView rows = *this;
  if (data != nullptr) {
    rows.data = static_cast<char*>(data) +
                begin * strides[0] * static_cast<int64_t>(SizeOf(dtype));
  }
  rows.dims[0] = end - begin;
  return rows;
}

TensorView MakeView(void* data, DType dtype, absl::Span<const int64_t> dims,
                    Device device) {
  assert(dims.size() <= kMaxTensorRank);
  TensorView view;
  view.data = data;
  view.dtype = dtype;
  view.device = device;
  view.rank = static_cast<int>(dims.size());
  int64_t stride = 1;
  for (int i = view.rank - 1; i >= 0; --i) {
    view.dims[i] = dims[i];
    view.strides[i] = stride;
    stride *= dims[i];
  }
  return view;
}

absl::StatusOr<Tensor> Tensor::Allocate(DeviceBackend& backend, MemoryKind kind,
                                        DType dtype,
                                        absl::Span<const int64_t> dims) {
  ASSIGN_OR_RETURN(const size_t size, AllocatedBytes(dtype, dims));
  absl::StatusOr<DeviceMemory> memory = backend.Allocate(size, kind);
  if (absl::IsResourceExhausted(memory.status())) {
    return NoMemory(dtype, dims, size);
  }
  RETURN_IF_ERROR(memory.status());
  // Pinned memory is the host's.
  const Device device =
      kind == MemoryKind::kPinned ? Device{} : backend.device();
  Tensor tensor;
  tensor.memory_ = *std::move(memory);
  tensor.view_ = MakeView(tensor.memory_.data(), dtype, dims, device);
  return tensor;
}

absl::StatusOr<Tensor> Tensor::Allocate(DType dtype,
                                        absl::Span<const int64_t> dims) {
  return Allocate(HostBackend(), MemoryKind::kDevice, dtype, dims);
}

absl::StatusOr<Tensor> Tensor::Allocate(DeviceBackend& backend, DType dtype,
                                        absl::Span<const int64_t> dims) {
  return Allocate(backend, MemoryKind::kDevice, dtype, dims);
}

absl::StatusOr<Tensor> Tensor::AllocateUntouched(
    DeviceBackend& backend, DType dtype, absl::Span<const int64_t> dims) {
  return Allocate(backend, MemoryKind::kUntouched, dtype, dims);
}

absl::StatusOr<Tensor> Tensor::AllocatePinned(DeviceBackend& backend,
                                              DType dtype,
                                              absl::Span<const int64_t> dims) {
  return Allocate(backend, MemoryKind::kPinned, dtype, dims);
}

TensorView Tensor::AsRows(int64_t rows, int64_t width,
                          int64_t first_row) const {
  std::byte* const begin =
      ptr<std::byte>() +
      first_row * width * static_cast<int64_t>(SizeOf(view_.dtype));
  return MakeView(begin, view_.dtype, {rows, width}, view_.device);
}

size_t Tensor::num_bytes() const {
  if (memory_.data() == nullptr) return 0;
  return static_cast<size_t>(view_.num_elements()) * SizeOf(view_.dtype);
}

}  // namespace moe

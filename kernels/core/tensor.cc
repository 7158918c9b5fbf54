#include "kernels/core/tensor.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cassert>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, a 512-bit vector
constexpr size_t kHugePage = size_t{2} << 20;

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

// Only a hint: without huge pages all works, with more TLB misses.
void AdviseHugePages(void* memory, size_t size) {
  (void)madvise(memory, size, MADV_HUGEPAGE);
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

absl::StatusOr<Tensor> Tensor::Allocate(DType dtype,
                                        absl::Span<const int64_t> dims) {
  ASSIGN_OR_RETURN(const size_t size, AllocatedBytes(dtype, dims));
  const size_t alignment = size >= kHugePage ? kHugePage : kAlignment;
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, size) != 0) {
    return NoMemory(dtype, dims, size);
  }
  Tensor tensor;
  tensor.memory_.reset(memory);
  if (alignment == kHugePage) AdviseHugePages(memory, size);
  std::memset(memory, 0, size);
  tensor.view_ = MakeView(memory, dtype, dims);
  return tensor;
}

absl::StatusOr<Tensor> Tensor::AllocateUntouched(
    DType dtype, absl::Span<const int64_t> dims) {
  ASSIGN_OR_RETURN(const size_t bytes, AllocatedBytes(dtype, dims));
  if (bytes < kHugePage) return Allocate(dtype, dims);
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t size = (bytes + page - 1) / page * page;
  // As much more as a whole number of huge pages may be shifted by; what is
  // left on both sides goes back.
  const size_t whole = size + kHugePage;
  void* const mapped = mmap(nullptr, whole, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return NoMemory(dtype, dims, size);
  char* const begin = static_cast<char*>(mapped);
  const size_t before =
      (kHugePage - reinterpret_cast<uintptr_t>(mapped) % kHugePage) % kHugePage;
  if (before > 0) (void)munmap(begin, before);
  if (before < kHugePage) {
    (void)munmap(begin + before + size, kHugePage - before);
  }
  Tensor tensor;
  tensor.memory_ =
      std::unique_ptr<void, Free>(begin + before, Free{.mapped_bytes = size});
  AdviseHugePages(begin + before, size);
  tensor.view_ = MakeView(begin + before, dtype, dims);
  return tensor;
}

size_t Tensor::num_bytes() const {
  if (memory_ == nullptr) return 0;
  return static_cast<size_t>(view_.num_elements()) * SizeOf(view_.dtype);
}

void Tensor::Free::operator()(void* p) const {
  if (mapped_bytes > 0) {
    (void)munmap(p, mapped_bytes);
  } else {
    std::free(p);
  }
}

}  // namespace moe

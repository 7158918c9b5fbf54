#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/core/device.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/dtype.h"

namespace moe {

inline constexpr int kMaxTensorRank = 4;

// A borrowed, trivially copyable view of a tensor: it owns nothing and is valid
// as long as the memory behind `data`. Dims and strides are in elements. A
// default-constructed view (data == nullptr) means "absent".
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Device device;
  int rank = 0;
  std::array<int64_t, kMaxTensorRank> dims = {};
  std::array<int64_t, kMaxTensorRank> strides = {};

  bool empty() const { return data == nullptr; }
  int64_t num_elements() const;
  // Row-major with no gaps.
  bool is_contiguous() const;
  // "bf16 [8, 1024]", for messages.
  std::string ShapeString() const;

  template <typename T>
  T* ptr() const {
    return static_cast<T*>(data);
  }

  // Rows [begin, end) of the first dimension.
  TensorView Rows(int64_t begin, int64_t end) const;
};

// A contiguous row-major view of existing memory.
TensorView MakeView(void* data, DType dtype, absl::Span<const int64_t> dims,
                    Device device = {});

// Owns contiguous row-major memory of one backend; move-only.
// Thread-compatible. Without a backend named it is the host's (HostBackend).
class Tensor {
 public:
  Tensor() = default;
  Tensor(Tensor&&) = default;
  Tensor& operator=(Tensor&&) = default;

  // Zeroed. kResourceExhausted if there is not enough memory.
  static absl::StatusOr<Tensor> Allocate(DType dtype,
                                         absl::Span<const int64_t> dims);
  static absl::StatusOr<Tensor> Allocate(DeviceBackend& backend, DType dtype,
                                         absl::Span<const int64_t> dims);

  // The same, but where the backend can, pages are found and zeroed only when
  // they are first touched: for memory that is used piece by piece.
  static absl::StatusOr<Tensor> AllocateUntouched(
      DeviceBackend& backend, DType dtype, absl::Span<const int64_t> dims);

  // Zeroed host memory, from and to which streams of the backend copy by
  // themselves.
  static absl::StatusOr<Tensor> AllocatePinned(DeviceBackend& backend,
                                               DType dtype,
                                               absl::Span<const int64_t> dims);

  const TensorView& view() const { return view_; }
  DType dtype() const { return view_.dtype; }
  int64_t dim(int i) const { return view_.dims[i]; }
  size_t num_bytes() const;

  template <typename T>
  T* ptr() const {
    return view_.ptr<T>();
  }

  // The elements from first_row * width on as [rows, width]: memory for rows of
  // several widths.
  TensorView AsRows(int64_t rows, int64_t width, int64_t first_row = 0) const;

 private:
  static absl::StatusOr<Tensor> Allocate(DeviceBackend& backend,
                                         MemoryKind kind, DType dtype,
                                         absl::Span<const int64_t> dims);

  DeviceMemory memory_;
  TensorView view_;
};

}  // namespace moe

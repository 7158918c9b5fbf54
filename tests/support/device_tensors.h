#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Values between a test and the stream's device, whatever that is. Each call
// waits for the stream. Elements of T are those of the dtype.

// A tensor of `dims` on the device with these values.
template <typename T>
Tensor ToDevice(const std::vector<T>& values, DType dtype,
                absl::Span<const int64_t> dims, Stream& stream) {
  auto pinned = Tensor::AllocatePinned(stream.backend(), dtype, dims);
  auto device = Tensor::Allocate(stream.backend(), dtype, dims);
  EXPECT_TRUE(pinned.ok() && device.ok());
  EXPECT_EQ(pinned->num_bytes(), values.size() * sizeof(T));
  std::copy(values.begin(), values.end(), pinned->template ptr<T>());
  EXPECT_TRUE(stream.Copy(pinned->view(), device->view()).ok());
  EXPECT_TRUE(stream.Synchronize().ok());
  return *std::move(device);
}

// The values of a tensor, row by row where its rows lie apart.
template <typename T>
std::vector<T> ToHost(const TensorView& view, Stream& stream) {
  const int64_t rows = view.rank == 0 ? 0 : view.dims[0];
  const int64_t width = rows == 0 ? 0 : view.num_elements() / rows;
  if (width == 0) return {};
  auto pinned =
      Tensor::AllocatePinned(stream.backend(), view.dtype, {rows, width});
  EXPECT_TRUE(pinned.ok());
  for (int64_t r = 0; r < rows; ++r) {
    TensorView row = view.Rows(r, r + 1);
    row.strides[0] = width;
    EXPECT_TRUE(stream.Copy(row, pinned->view().Rows(r, r + 1)).ok());
  }
  EXPECT_TRUE(stream.Synchronize().ok());
  const T* const data = pinned->template ptr<T>();
  return {data, data + rows * width};
}

}  // namespace moe

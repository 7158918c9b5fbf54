#include "kernels/core/tensor.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "kernels/core/cpu_backend.h"

namespace moe {
namespace {

TEST(TensorViewTest, KnowsItsShape) {
  float data[24];
  const TensorView view = MakeView(data, DType::kF32, {2, 3, 4});
  EXPECT_EQ(view.num_elements(), 24);
  EXPECT_EQ(view.strides[0], 12);
  EXPECT_EQ(view.strides[2], 1);
  EXPECT_TRUE(view.is_contiguous());
  EXPECT_EQ(view.ShapeString(), "f32 [2, 3, 4]");
  EXPECT_TRUE(TensorView().empty());
  EXPECT_FALSE(view.empty());
  EXPECT_EQ(MakeView(data, DType::kF32, {}).num_elements(), 1);
}

TEST(TensorViewTest, RowsArePartOfTheSameMemory) {
  uint16_t data[12];
  const TensorView view = MakeView(data, DType::kBf16, {4, 3});
  const TensorView rows = view.Rows(1, 3);
  EXPECT_EQ(rows.data, data + 3);
  EXPECT_EQ(rows.dims[0], 2);
  EXPECT_EQ(rows.dims[1], 3);
  EXPECT_TRUE(rows.is_contiguous());
  EXPECT_EQ(view.Rows(4, 4).num_elements(), 0);
}

TEST(TensorViewTest, GapsAreNotContiguous) {
  float data[12];
  TensorView view = MakeView(data, DType::kF32, {4, 3});
  view.dims[1] = 2;
  EXPECT_FALSE(view.is_contiguous());
  view.dims[0] = 1;  // one row has no gaps
  EXPECT_TRUE(view.is_contiguous());
}

TEST(TensorTest, IsZeroedAndAligned) {
  auto tensor = Tensor::Allocate(DType::kF32, {3, 5});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor->view().data) % 64, 0u);
  EXPECT_EQ(tensor->num_bytes(), 60u);
  for (int i = 0; i < 15; ++i) EXPECT_EQ(tensor->ptr<float>()[i], 0);

  auto large = Tensor::Allocate(DType::kU8, {(2 << 20) + 1});
  ASSERT_TRUE(large.ok()) << large.status();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(large->view().data) % (2 << 20), 0u);
  EXPECT_EQ(large->ptr<uint8_t>()[2 << 20], 0);
}

// Pages of it that are in memory.
int64_t ResidentPages(const Tensor& tensor) {
  std::vector<unsigned char> pages(tensor.num_bytes() / 4096 + 1);
  if (mincore(tensor.view().data, tensor.num_bytes(), pages.data()) != 0) {
    return -1;
  }
  return std::count_if(pages.begin(), pages.end(),
                       [](unsigned char page) { return (page & 1) != 0; });
}

TEST(TensorTest, AnUntouchedOneIsZeroAndTakesMemoryWhereItIsUsed) {
  const int64_t size = (int64_t{64} << 20) + 1;
  auto tensor = Tensor::AllocateUntouched(HostBackend(), DType::kU8, {size});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor->view().data) % (2 << 20), 0u);
  EXPECT_EQ(ResidentPages(*tensor), 0);
  uint8_t* const bytes = tensor->ptr<uint8_t>();
  EXPECT_EQ(bytes[0], 0);
  EXPECT_EQ(bytes[size - 1], 0);
  bytes[size - 1] = 1;
  // A huge page each, at most.
  EXPECT_GT(ResidentPages(*tensor), 0);
  EXPECT_LE(ResidentPages(*tensor), 2 * 512);
  for (int i = 0; i < 100; ++i) {  // nothing is lost of what is given back
    tensor = Tensor::AllocateUntouched(HostBackend(), DType::kU8, {size});
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    EXPECT_EQ(tensor->ptr<uint8_t>()[size - 1], 0);
  }
  const Tensor moved = *std::move(tensor);
  EXPECT_EQ(moved.ptr<uint8_t>()[0], 0);
}

TEST(TensorTest, ASmallUntouchedOneIsZeroedAndAligned) {
  const auto tensor = Tensor::AllocateUntouched(HostBackend(), DType::kF32, {3, 5});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor->view().data) % 64, 0u);
  for (int i = 0; i < 15; ++i) EXPECT_EQ(tensor->ptr<float>()[i], 0);
}

TEST(TensorTest, MovesItsMemory) {
  auto tensor = Tensor::Allocate(DType::kI64, {4});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  void* data = tensor->view().data;
  const Tensor moved = *std::move(tensor);
  EXPECT_EQ(moved.view().data, data);
  EXPECT_EQ(moved.dim(0), 4);
  EXPECT_TRUE(Tensor().view().empty());
  EXPECT_EQ(Tensor().num_bytes(), 0u);
}

TEST(TensorTest, AnEmptyOneIsNotAbsent) {
  const auto tensor = Tensor::Allocate(DType::kF32, {0, 7});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_FALSE(tensor->view().empty());
  EXPECT_EQ(tensor->num_bytes(), 0u);
}

TEST(TensorTest, RefusesImpossibleShapes) {
  EXPECT_EQ(Tensor::Allocate(DType::kF32, {2, -1}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Tensor::Allocate(DType::kF32, {1, 1, 1, 1, 1}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Tensor::Allocate(DType::kF32, {int64_t{1} << 40, int64_t{1} << 40})
                .status()
                .code(),
            absl::StatusCode::kResourceExhausted);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // Fits in 63 bits, but in no machine.
  const absl::Status status =
      Tensor::Allocate(DType::kF32, {int64_t{1} << 55}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(absl::StrContains(status.message(), "36028797018963968"));
  EXPECT_EQ(Tensor::AllocateUntouched(HostBackend(), DType::kF32, {int64_t{1} << 55})
                .status()
                .code(),
            absl::StatusCode::kResourceExhausted);
#endif
}

}  // namespace
}  // namespace moe

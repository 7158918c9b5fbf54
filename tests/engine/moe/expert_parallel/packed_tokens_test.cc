#include "engine/moe/expert_parallel/packed_tokens.h"

#include <cstring>

#include "gtest/gtest.h"

namespace moe {
namespace {

TEST(RowFormatTest, RowsAreWholeCacheLines) {
  EXPECT_EQ((RowFormat{1024, 1}).stride(), 1040);
  EXPECT_EQ((RowFormat{15, 1}).stride(), 16);
  EXPECT_EQ((RowFormat{15, 2}).stride(), 32);
  EXPECT_EQ((RowFormat{15, 2}).bytes(), 128u);
}

TEST(RowFormatTest, ViewsReachValuesAndIdsOfEachRow) {
  const RowFormat format = {3, 2};
  const Tensor memory = *Tensor::Allocate(DType::kF32, {4 * format.stride()});
  const TensorView packed = format.Packed(memory, 2);
  EXPECT_EQ(packed.dims[0], 2);
  EXPECT_EQ(packed.dims[1], format.stride());
  float* const second = memory.ptr<float>() + format.stride();
  second[2] = 6;
  const int32_t id = 10;
  std::memcpy(second + 4, &id, sizeof(id));
  const TensorView hidden = format.Hidden(packed);
  EXPECT_EQ(hidden.dims[1], 3);
  EXPECT_EQ(hidden.ptr<float>()[hidden.strides[0] + 2], 6);
  const TensorView ids = format.Ids(packed);
  EXPECT_EQ(ids.dims[1], 2);
  EXPECT_EQ(ids.dtype, DType::kI32);
  EXPECT_EQ(ids.ptr<int32_t>()[ids.strides[0] + 1], 10);
}

}  // namespace
}  // namespace moe

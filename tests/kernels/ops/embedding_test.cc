#include "kernels/ops/embedding.h"

#include "kernels/ops/kv_cache_append.h"
#include "tests/kernels/ops/on_device.h"
#include "tests/kernels/ops/op_test.h"

namespace moe {
namespace {

class EmbeddingTest : public VariantTest {
 protected:
  static constexpr DType kDTypes[] = {DType::kF32, DType::kF16, DType::kBf16};
};

Tensor As(DType dtype, const Tensor& source) {
  Tensor out = MakeTensor({source.dim(0), source.dim(1)}, dtype);
  for (int64_t i = 0; i < source.view().num_elements(); ++i) {
    const float x = source.ptr<float>()[i];
    if (dtype == DType::kF32) out.ptr<float>()[i] = x;
    if (dtype == DType::kF16) out.ptr<uint16_t>()[i] = FloatToHalf(x);
    if (dtype == DType::kBf16) out.ptr<uint16_t>()[i] = FloatToBf16(x);
  }
  return out;
}

float Value(const Tensor& table, int64_t i) {
  if (table.dtype() == DType::kF32) return table.ptr<float>()[i];
  return table.dtype() == DType::kF16 ? HalfToFloat(table.ptr<uint16_t>()[i])
                                      : Bf16ToFloat(table.ptr<uint16_t>()[i]);
}

TEST_P(EmbeddingTest, AddsTheRowsOfBothTables) {
  for (const DType dtype : kDTypes) {
    const Tensor table = As(dtype, RandomTensor({50, 33}, 1));
    const Tensor positions = As(dtype, RandomTensor({20, 33}, 2));
    std::vector<int32_t> ids(200), at(200);
    for (int i = 0; i < 200; ++i) ids[i] = i * 7 % 50, at[i] = i * 3 % 20;
    Tensor y = MakeTensor({200, 33});
    ASSERT_TRUE(OnDevice(Embedding,
                         {.token_ids = ViewOf(ids),
                          .positions = ViewOf(at),
                          .table = table.view(),
                          .position_table = positions.view(),
                          .y = y.view()},
                         stream_)
                    .ok());
    for (int64_t i = 0; i < 200 * 33; ++i) {
      EXPECT_EQ(y.ptr<float>()[i],
                Value(table, ids[i / 33] * 33 + i % 33) +
                    Value(positions, at[i / 33] * 33 + i % 33));
    }
    ASSERT_TRUE(
        OnDevice(
            Embedding,
            {.token_ids = ViewOf(ids), .table = table.view(), .y = y.view()},
            stream_)
            .ok());
    EXPECT_EQ(y.ptr<float>()[33], Value(table, ids[1] * 33));
  }
}

TEST_P(EmbeddingTest, NamesTheIdThatIsOutOfRange) {
  for (const DType dtype : kDTypes) {
    const Tensor table = As(dtype, RandomTensor({50, 8}, 1));
    Tensor y = MakeTensor({2, 8});
    const std::vector<int32_t> ids = {49, 50}, negative = {-1, 0};
    EXPECT_EQ(
        OnDevice(
            Embedding,
            {.token_ids = ViewOf(ids), .table = table.view(), .y = y.view()},
            stream_)
            .message(),
        "Embedding: token id 50 of row 1 is outside [0, 50)");
    EXPECT_EQ(OnDevice(Embedding,
                       {.token_ids = ViewOf(negative),
                        .positions = ViewOf(ids),
                        .table = table.view(),
                        .position_table = table.view(),
                        .y = y.view()},
                       stream_)
                  .message(),
              "Embedding: token id -1 of row 0 is outside [0, 50)");
    const std::vector<int32_t> zeros = {0, 0};
    EXPECT_EQ(OnDevice(Embedding,
                       {.token_ids = ViewOf(zeros),
                        .positions = ViewOf(ids),
                        .table = table.view(),
                        .position_table = table.view(),
                        .y = y.view()},
                       stream_)
                  .message(),
              "Embedding: position 50 of row 1 is outside [0, 50)");
  }
}

TEST_P(EmbeddingTest, RowsOfTokensOutsideAPartialTableAreZero) {
  const Tensor table = RandomTensor({10, 8}, 1);
  const Tensor positions = RandomTensor({4, 8}, 2);
  Tensor y = RandomTensor({3, 8}, 3);
  const std::vector<int32_t> ids = {19, 25, 30}, at = {0, 1, 2};
  ASSERT_TRUE(OnDevice(Embedding,
                       {.token_ids = ViewOf(ids),
                        .positions = ViewOf(at),
                        .table = table.view(),
                        .position_table = positions.view(),
                        .first_token = 20,
                        .partial = true,
                        .y = y.view()},
                       stream_)
                  .ok());
  for (int64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(y.ptr<float>()[i], 0.0f);
    EXPECT_EQ(y.ptr<float>()[8 + i],
              table.ptr<float>()[5 * 8 + i] + positions.ptr<float>()[8 + i]);
    EXPECT_EQ(y.ptr<float>()[16 + i], 0.0f);
  }
}

INSTANTIATE_ON_ALL_VARIANTS(EmbeddingTest);

class KvCacheAppendTest : public VariantTest {};

TEST_P(KvCacheAppendTest, WritesChannelMajorKeysAndRowMajorValues) {
  constexpr int64_t kHeads = 3, kDim = 5, kBlock = 4;
  const Tensor k = RandomTensor({2, kHeads, kDim}, 1);
  const Tensor v = RandomTensor({2, kHeads, kDim}, 2);
  Tensor keys = MakeTensor({6, kHeads, kDim, kBlock});
  Tensor values = MakeTensor({6, kHeads, kBlock, kDim});
  const std::vector<int64_t> slots = {5 * kBlock + 3, 2 * kBlock};
  ASSERT_TRUE(
      OnDevice(KvCacheAppend,
               {k.view(), v.view(), ViewOf(slots), keys.view(), values.view()},
               stream_)
          .ok());
  for (int64_t r = 0; r < 2; ++r) {
    const int64_t block = slots[r] / kBlock, offset = slots[r] % kBlock;
    for (int64_t h = 0; h < kHeads; ++h) {
      for (int64_t c = 0; c < kDim; ++c) {
        const int64_t from = (r * kHeads + h) * kDim + c;
        EXPECT_EQ(keys.ptr<float>()[((block * kHeads + h) * kDim + c) * kBlock +
                                    offset],
                  k.ptr<float>()[from]);
        EXPECT_EQ(
            values.ptr<
                float>()[((block * kHeads + h) * kBlock + offset) * kDim + c],
            v.ptr<float>()[from]);
      }
    }
  }
  const std::vector<int64_t> beyond = {0, 6 * kBlock};
  EXPECT_EQ(
      OnDevice(KvCacheAppend,
               {k.view(), v.view(), ViewOf(beyond), keys.view(), values.view()},
               stream_)
          .message(),
      "KvCacheAppend: slot 24 of row 1 is outside [0, 24)");
}

INSTANTIATE_ON_ALL_VARIANTS(KvCacheAppendTest);

}  // namespace
}  // namespace moe

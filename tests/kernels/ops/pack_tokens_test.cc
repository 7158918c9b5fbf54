#include "kernels/ops/pack_tokens.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include "tests/kernels/ops/on_device.h"
#include "tests/kernels/ops/op_test.h"

namespace moe {
namespace {

constexpr int64_t kHidden = 5;
// Of no packed value.
constexpr float kUntouched = -7.5f;

Tensor UntouchedRows(int64_t rows, int64_t width) {
  Tensor y = MakeTensor({rows, width});
  for (int64_t i = 0; i < rows * width; ++i) y.ptr<float>()[i] = kUntouched;
  return y;
}

// x's rows with a gap between them, as a part of a wider tensor has.
TensorView Strided(const Tensor& wide) {
  TensorView x = wide.view();
  x.dims[1] = kHidden;
  return x;
}

std::vector<int32_t> IdsOf(const Tensor& y, int64_t row, int64_t num_ids) {
  std::vector<int32_t> ids(num_ids);
  std::memcpy(ids.data(), y.ptr<float>() + row * y.dim(1) + kHidden,
              num_ids * sizeof(int32_t));
  return ids;
}

// `row` of y holds row `x_row` of x, the ids, and nothing else.
void ExpectPacked(const TensorView& x, int64_t x_row, const Tensor& y,
                  int64_t row, const std::vector<int32_t>& ids) {
  const auto num_ids = static_cast<int64_t>(ids.size());
  const float* const packed = y.ptr<float>() + row * y.dim(1);
  EXPECT_TRUE(SameBits(packed, x.ptr<float>() + x_row * x.strides[0], kHidden))
      << "row " << row;
  EXPECT_EQ(IdsOf(y, row, num_ids), ids) << "row " << row;
  for (int64_t i = kHidden + num_ids; i < y.dim(1); ++i) {
    EXPECT_EQ(packed[i], kUntouched) << "row " << row << ", " << i;
  }
}

class PackTokensTest : public VariantTest {};
class PackSlotsTest : public VariantTest {};

INSTANTIATE_ON_ALL_VARIANTS(PackTokensTest);
INSTANTIATE_ON_ALL_VARIANTS(PackSlotsTest);

TEST_P(PackTokensTest, EachRowIsFollowedByItsIds) {
  const Tensor wide = RandomTensor({3, kHidden + 2}, 1);
  const std::vector<int32_t> ids = {7, 0, 1 << 30, 3, 5, 5};
  TensorView expert_ids = ViewOf(ids);
  expert_ids = MakeView(expert_ids.data, DType::kI32, {3, 2});
  const Tensor y = UntouchedRows(3, 16);
  ASSERT_TRUE(
      OnDevice(PackTokens, {Strided(wide), expert_ids, y.view()}, stream_)
          .ok());
  for (int64_t r = 0; r < 3; ++r) {
    ExpectPacked(Strided(wide), r, y, r, {ids[2 * r], ids[2 * r + 1]});
  }
}

TEST_P(PackTokensTest, RefusesRowsThatAreTooNarrow) {
  const Tensor x = MakeTensor({2, kHidden}), y = MakeTensor({2, kHidden + 1});
  const Tensor ids = MakeTensor({2, 2}, DType::kI32);
  EXPECT_EQ(
      OnDevice(PackTokens, {x.view(), ids.view(), y.view()}, stream_).message(),
      "PackTokens: y is f32 [2, 6], too narrow for x f32 [2, 5] and expert_ids "
      "i32 [2, 2]");
}

TEST_P(PackSlotsTest, EachSlotIsItsRowWithItsExpert) {
  const Tensor wide = RandomTensor({4, kHidden + 3}, 2);
  // Experts 0, 2 and 5 have no slots.
  const std::vector<int32_t> offsets = {0, 0, 2, 2, 3, 6, 6};
  const std::vector<int32_t> rows = {0, 3, 2, 0, 1, 3};
  const std::vector<int32_t> experts = {1, 1, 3, 4, 4, 4};
  for (int64_t first = 0; first <= 6; ++first) {
    for (int64_t end = first; end <= 6; ++end) {
      SCOPED_TRACE(testing::Message() << "[" << first << ", " << end << ")");
      const Tensor y = UntouchedRows(end - first, 16);
      ASSERT_TRUE(OnDevice(PackSlots,
                           {Strided(wide), ViewOf(rows), ViewOf(offsets), first,
                            y.view()},
                           stream_)
                      .ok());
      for (int64_t s = first; s < end; ++s) {
        ExpectPacked(Strided(wide), rows[s], y, s - first, {experts[s]});
      }
    }
  }
}

TEST_P(PackSlotsTest, RefusesATableThatDoesNotFit) {
  const Tensor x = MakeTensor({3, kHidden}), y = MakeTensor({2, kHidden + 1});
  const std::vector<int32_t> rows = {0, 3}, offsets = {0, 2}, few = {0, 1};
  const auto run = [&](const std::vector<int32_t>& table, int64_t first) {
    return OnDevice(PackSlots,
                    {x.view(), ViewOf(rows), ViewOf(table), first, y.view()},
                    stream_);
  };
  EXPECT_EQ(run(offsets, 1).message(),
            "PackSlots: slots [1, 3) are not all in row_of_slot i32 [2]");
  EXPECT_EQ(run(offsets, 0).message(),
            "PackSlots: row 3 of slot 1 is outside [0, 3)");
  const std::vector<int32_t> good_rows = {0, 2};
  EXPECT_EQ(
      OnDevice(PackSlots,
               {x.view(), ViewOf(good_rows), ViewOf(few), 0, y.view()}, stream_)
          .message(),
      "PackSlots: slots [0, 2) are not all those of experts");
}

}  // namespace
}  // namespace moe

#include "engine/moe/packed_tokens.h"

#include <vector>

#include "gtest/gtest.h"

namespace moe {
namespace {

TEST(RowFormatTest, RowsAreWholeCacheLines) {
  EXPECT_EQ((RowFormat{1024, 1}).stride(), 1040);
  EXPECT_EQ((RowFormat{15, 1}).stride(), 16);
  EXPECT_EQ((RowFormat{15, 2}).stride(), 32);
  EXPECT_EQ((RowFormat{15, 2}).bytes(), 128u);
}

TEST(RowFormatTest, PackedRowsAreReadBack) {
  const RowFormat format = {3, 2};
  std::vector<float> x = {1, 2, 3, -1, 4, 5, 6, -1};
  TensorView view = MakeView(x.data(), DType::kF32, {2, 3});
  view.strides[0] = 4;
  std::vector<float> packed(2 * format.stride());
  const std::vector<int32_t> ids = {7, 8, 9, 10};
  for (int64_t r = 0; r < 2; ++r) {
    PackRow(format, view, r, ids.data() + 2 * r,
            packed.data() + r * format.stride());
  }
  const TensorView hidden = PackedHidden(format, packed.data(), 2);
  EXPECT_EQ(hidden.dims[1], 3);
  EXPECT_EQ(hidden.ptr<float>()[hidden.strides[0] + 2], 6);
  SlotTable table;
  ASSERT_TRUE(SortByExpert(PackedIds(format, packed.data()), format.stride(), 2,
                           2, 8, 2, 11, table)
                  .ok());
  EXPECT_EQ(table.expert_offsets, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(table.row_of_slot, (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(table.slot_of, (std::vector<int32_t>{-1, 0, 1, -1}));
}

TEST(SortByExpertTest, SlotsOfAnExpertAreInRowOrder) {
  const std::vector<int32_t> ids = {2, 0, 2, 1, 2, 0};
  SlotTable table;
  ASSERT_TRUE(SortByExpert(ids.data(), 1, 6, 1, 0, 4, 4, table).ok());
  EXPECT_EQ(table.expert_offsets, (std::vector<int32_t>{0, 2, 3, 6, 6}));
  EXPECT_EQ(table.row_of_slot, (std::vector<int32_t>{1, 5, 3, 0, 2, 4}));
  EXPECT_EQ(table.slot_of, (std::vector<int32_t>{3, 0, 4, 2, 5, 1}));
}

TEST(SortByExpertTest, NoRowsAndNoExpertsAreFine) {
  SlotTable table;
  ASSERT_TRUE(SortByExpert(nullptr, 1, 0, 1, 0, 3, 3, table).ok());
  EXPECT_EQ(table.expert_offsets, (std::vector<int32_t>{0, 0, 0, 0}));
  const std::vector<int32_t> ids = {0, 2};
  ASSERT_TRUE(SortByExpert(ids.data(), 1, 2, 1, 3, 0, 3, table).ok());
  EXPECT_EQ(table.num_slots(), 0);
}

TEST(SortByExpertTest, IdsOutsideTheLayerAreErrors) {
  SlotTable table;
  for (int32_t bad : {-1, 4, 1 << 30}) {
    const std::vector<int32_t> ids = {0, bad};
    EXPECT_EQ(SortByExpert(ids.data(), 1, 2, 1, 0, 2, 4, table).message(),
              "row 1 of an exchange is for expert " + std::to_string(bad) +
                  ", the layer has 4");
  }
}

}  // namespace
}  // namespace moe

#include "kernels/ops/sort_by_expert.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/ops/count_expert_rows.h"
#include "tests/kernels/ops/on_device.h"
#include "tests/kernels/ops/op_test.h"

namespace moe {
namespace {

class SortByExpertTest : public VariantTest {
 protected:
  // Sorts `ids`, num_ids of them a row, that lie behind hidden values as an
  // exchange brings them.
  absl::Status Sort(const std::vector<int32_t>& ids, int64_t num_ids,
                    int64_t first, int64_t count, int64_t all,
                    bool all_here = false) {
    constexpr int64_t kWidth = 16, kHidden = 9;
    const int64_t rows = static_cast<int64_t>(ids.size()) / num_ids;
    const Tensor packed = MakeTensor({rows, kWidth});
    TensorView id_view = packed.view();
    id_view.data = packed.ptr<float>() + kHidden;
    id_view.dtype = DType::kI32;
    id_view.dims[1] = num_ids;
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(packed.ptr<float>() + r * kWidth + kHidden,
                  ids.data() + r * num_ids, num_ids * sizeof(int32_t));
    }
    offsets_.assign(count + 1, -9);
    row_of_slot_.assign(rows * num_ids, -9);
    slot_of_.assign(rows * num_ids, -9);
    TensorView slot_of = ViewOf(slot_of_);
    slot_of = MakeView(slot_of.data, DType::kI32, {rows, num_ids});
    // An empty vector has no memory, but the table of no rows is not absent.
    static int32_t none = 0;
    TensorView row_of_slot = ViewOf(row_of_slot_);
    if (rows == 0) slot_of.data = row_of_slot.data = &none;
    const absl::Status status = OnDevice(
        SortByExpert,
        {id_view, first, all, all_here, ViewOf(offsets_), row_of_slot, slot_of},
        stream_);
    if (status.ok()) row_of_slot_.resize(offsets_.back());
    return status;
  }

  std::vector<int32_t> offsets_, row_of_slot_, slot_of_;
};

INSTANTIATE_ON_ALL_VARIANTS(SortByExpertTest);

using Table = std::vector<int32_t>;

TEST_P(SortByExpertTest, SlotsOfAnExpertAreInRowOrder) {
  ASSERT_TRUE(Sort({2, 0, 2, 1, 2, 0}, 1, 0, 4, 4).ok());
  EXPECT_EQ(offsets_, (Table{0, 2, 3, 6, 6}));
  EXPECT_EQ(row_of_slot_, (Table{1, 5, 3, 0, 2, 4}));
  EXPECT_EQ(slot_of_, (Table{3, 0, 4, 2, 5, 1}));
}

TEST_P(SortByExpertTest, OtherRanksExpertsHaveNoSlots) {
  ASSERT_TRUE(Sort({7, 8, 9, 10}, 2, 8, 2, 11).ok());
  EXPECT_EQ(offsets_, (Table{0, 1, 2}));
  EXPECT_EQ(row_of_slot_, (Table{0, 1}));
  EXPECT_EQ(slot_of_, (Table{-1, 0, 1, -1}));
}

TEST_P(SortByExpertTest, NoRowsAndNoExpertsAreFine) {
  ASSERT_TRUE(Sort({}, 1, 0, 3, 3).ok());
  EXPECT_EQ(offsets_, (Table{0, 0, 0, 0}));
  ASSERT_TRUE(Sort({0, 2}, 1, 3, 0, 3).ok());
  EXPECT_EQ(offsets_, (Table{0}));
  EXPECT_EQ(slot_of_, (Table{-1, -1}));
}

// Gating sorts the same way.
TEST_P(SortByExpertTest, EqualsTheTableOfTheGate) {
  constexpr int64_t kRows = 23, kExperts = 7, kTopK = 3;
  const Tensor logits = RandomTensor({kRows, kExperts}, 5);
  const Tensor weights = MakeTensor({kRows, kTopK});
  const Tensor ids = MakeTensor({kRows, kTopK}, DType::kI32);
  const Tensor offsets = MakeTensor({kExperts + 1}, DType::kI32);
  const Tensor rows = MakeTensor({kRows * kTopK}, DType::kI32);
  const Tensor slots = MakeTensor({kRows, kTopK}, DType::kI32);
  ASSERT_TRUE(OnDevice(MoeGating,
                       {logits.view(), false, ids.view(), weights.view(),
                        offsets.view(), rows.view(), slots.view()},
                       stream_)
                  .ok());
  const auto values = [](const Tensor& tensor) {
    const int32_t* const begin = tensor.ptr<int32_t>();
    return Table(begin, begin + tensor.view().num_elements());
  };
  ASSERT_TRUE(Sort(values(ids), kTopK, 0, kExperts, kExperts).ok());
  EXPECT_EQ(offsets_, values(offsets));
  EXPECT_EQ(row_of_slot_, values(rows));
  EXPECT_EQ(slot_of_, values(slots));
}

TEST_P(SortByExpertTest, IdsOutsideTheLayerAreErrors) {
  for (int32_t bad : {-1, 4, 1 << 30}) {
    const absl::Status status = Sort({0, bad}, 1, 0, 2, 4);
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_EQ(status.message(),
              absl::StrCat("row 1 of an exchange is for expert ", bad,
                           ", the layer has 4"));
  }
  EXPECT_EQ(Sort({0}, 1, 3, 2, 4).message(),
            "SortByExpert: 2 experts from 3 on do not lie within the layer's "
            "4");
}

TEST_P(SortByExpertTest, AnotherRanksExpertIsAnErrorWhereAllMustBeHere) {
  EXPECT_TRUE(Sort({3, 2, 3}, 1, 2, 2, 5, /*all_here=*/true).ok());
  const absl::Status status = Sort({3, 4}, 1, 2, 2, 5, /*all_here=*/true);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(status.message(),
            "row 1 of an exchange is for expert 4, this rank has [2, 4)");
}

class CountExpertRowsTest : public VariantTest {};

INSTANTIATE_ON_ALL_VARIANTS(CountExpertRowsTest);

TEST_P(CountExpertRowsTest, AddsTheRowsOfEachExpert) {
  std::vector<int64_t> counts = {1, int64_t{1} << 40, 0};
  const std::vector<int32_t> offsets = {0, 2, 2, 9};
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(
        OnDevice(CountExpertRows, {ViewOf(offsets), ViewOf(counts)}, stream_)
            .ok());
  }
  EXPECT_EQ(counts, (std::vector<int64_t>{5, int64_t{1} << 40, 14}));
  const std::vector<int32_t> few = {0, 2};
  EXPECT_EQ(OnDevice(CountExpertRows, {ViewOf(few), ViewOf(counts)}, stream_)
                .message(),
            "CountExpertRows: expert_offsets is i32 [2], must be i32 [4]");
}

}  // namespace
}  // namespace moe

#include "kernels/ops/expert_linear.h"

#include <cstdint>
#include <vector>

#include "tests/kernels/ops/on_device.h"
#include "tests/kernels/ops/op_test.h"

namespace moe {
namespace {

class ExpertLinearTest : public VariantTest {
 protected:
  static constexpr int64_t kIn = 19, kOut = 37, kTokens = 9;

  ExpertLinearTest() {
    for (int e = 0; e < 4; ++e) {
      weights_.push_back(*PackWeight(RandomTensor({kOut, kIn}, 10 + e).view(),
                                     DType::kF32, stream_));
    }
  }
  absl::Status Run(ExpertLinearArgs args) {
    for (size_t e = 0; e < weights_.size(); ++e) {
      experts_.push_back({&weights_[e], e == 1 ? bias_.view() : TensorView()});
    }
    std::vector<TensorView*> views = {&args.x, &args.row_of_slot,
                                      &args.expert_offsets, &args.y};
    for (ExpertWeight& expert : experts_) views.push_back(&expert.bias);
    for (TensorView* view : Views(args.along)) views.push_back(view);
    DeviceCopies copies(views, stream_);
    args.experts = experts_;
    const absl::Status status = ExpertLinear(args, stream_);
    const absl::Status returned = copies.Return();
    experts_.clear();
    return status.ok() ? returned : status;
  }
  // Row `row` of x times the weight of expert `e`, alone.
  std::vector<float> Alone(int e, int64_t row) {
    std::vector<float> y(kOut);
    LinearGroup group;
    group.weight = &weights_[e];
    group.x = x_.view().Rows(row, row + 1);
    if (e == 1) group.bias = bias_.view();
    group.epilogue = Epilogue::kGeluErf;
    group.y = MakeView(y.data(), DType::kF32, {1, kOut});
    EXPECT_TRUE(OnDevice(Linear, group, stream_).ok());
    return y;
  }

  std::vector<WeightMatrix> weights_;
  std::vector<ExpertWeight> experts_;
  const Tensor x_ = RandomTensor({kTokens, kIn}, 1);
  const Tensor bias_ = RandomTensor({kOut}, 2);
};

TEST_P(ExpertLinearTest, EachSlotHasTheBitsOfItsExpertsProductAlone) {
  // The third expert has no rows.
  const std::vector<int32_t> offsets = {0, 2, 5, 5, 7};
  const std::vector<int32_t> rows = {3, 0, 8, 8, 1, 4, 2};
  const Tensor y = MakeTensor({7, kOut}), along = MakeTensor({2, kOut});
  ExpertLinearArgs args;
  args.x = x_.view();
  args.row_of_slot = ViewOf(rows);
  args.expert_offsets = ViewOf(offsets);
  args.y = y.view();
  args.epilogue = Epilogue::kGeluErf;
  args.along.weight = &weights_[2];
  args.along.x = x_.view().Rows(5, 7);
  args.along.epilogue = Epilogue::kGeluErf;
  args.along.y = along.view();
  ASSERT_TRUE(Run(args).ok());
  for (int e = 0; e < 4; ++e) {
    for (int32_t s = offsets[e]; s < offsets[e + 1]; ++s) {
      EXPECT_TRUE(
          SameBits(y.ptr<float>() + s * kOut, Alone(e, rows[s]).data(), kOut))
          << "slot " << s;
    }
  }
  EXPECT_TRUE(SameBits(along.ptr<float>() + kOut, Alone(2, 6).data(), kOut));
}

TEST_P(ExpertLinearTest, WithoutATableSlotsAreRows) {
  const std::vector<int32_t> offsets = {0, 0, 4, 9, 9};
  const Tensor y = MakeTensor({kTokens, kOut});
  ExpertLinearArgs args;
  args.x = x_.view();
  args.expert_offsets = ViewOf(offsets);
  args.y = y.view();
  args.epilogue = Epilogue::kGeluErf;
  ASSERT_TRUE(Run(args).ok());
  for (int64_t s = 0; s < kTokens; ++s) {
    EXPECT_TRUE(SameBits(y.ptr<float>() + s * kOut,
                         Alone(s < 4 ? 1 : 2, s).data(), kOut));
  }
}

TEST_P(ExpertLinearTest, RefusesATableThatDoesNotFit) {
  const std::vector<int32_t> offsets = {0, 2, 1, 2, 2}, short_offsets = {0, 2};
  const std::vector<int32_t> rows = {0, kTokens};
  const Tensor y = MakeTensor({2, kOut});
  ExpertLinearArgs args;
  args.x = x_.view();
  args.expert_offsets = ViewOf(offsets);
  args.y = y.view();
  EXPECT_EQ(Run(args).message(),
            "ExpertLinear: expert 1 has slots [2, 1) of 2");
  args.expert_offsets = ViewOf(short_offsets);
  EXPECT_EQ(Run(args).message(),
            "ExpertLinear: expert_offsets is i32 [2], must be i32 [5]");
  const std::vector<int32_t> all_first = {0, 2, 2, 2, 2};
  args.expert_offsets = ViewOf(all_first);
  args.row_of_slot = ViewOf(rows);
  EXPECT_EQ(Run(args).message(), "Linear: x_rows[1] is 9, x is f32 [9, 19]");
}

INSTANTIATE_ON_ALL_VARIANTS(ExpertLinearTest);

}  // namespace
}  // namespace moe

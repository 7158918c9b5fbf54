#include "kernels/ops/rope.h"

#include <cmath>

#include "tests/kernels/ops/on_device.h"
#include "tests/kernels/ops/op_test.h"

namespace moe {
namespace {

class RopeTest : public VariantTest {};

TEST_P(RopeTest, RotatesTheLeadingChannelsOfEachHead) {
  constexpr int64_t kRows = 5, kHeads = 3, kHeadDim = 48;
  for (int64_t rotary_dim : {1, 2, 5, 22, 48}) {
    // An odd number of channels rotates one more.
    const int64_t half = (rotary_dim + 1) / 2;
    Tensor cos = MakeTensor({64, half});
    Tensor sin = MakeTensor({64, half});
    ASSERT_TRUE(
        FillRopeTables(500.0f, rotary_dim, false, cos.view(), sin.view()).ok());
    const Tensor x = RandomTensor({kRows, kHeads, kHeadDim}, 1);
    Tensor y = RandomTensor({kRows, kHeads, kHeadDim}, 1);
    const std::vector<int32_t> positions = {0, 1, 63, 7, 7};
    ASSERT_TRUE(OnDevice(Rope,
                         {y.view(), ViewOf(positions), cos.view(), sin.view()},
                         stream_)
                    .ok());
    for (int64_t r = 0; r < kRows * kHeads; ++r) {
      const float* a = x.ptr<float>() + r * kHeadDim;
      const float* b = y.ptr<float>() + r * kHeadDim;
      for (int64_t i = 0; i < half; ++i) {
        const double angle = positions[r / kHeads] *
                             std::pow(500.0, -2.0 * i / double(rotary_dim));
        EXPECT_NEAR(
            b[i], a[i] * std::cos(angle) - a[i + half] * std::sin(angle), 1e-5);
        EXPECT_NEAR(b[i + half],
                    a[i + half] * std::cos(angle) + a[i] * std::sin(angle),
                    1e-5);
      }
      for (int64_t i = 2 * half; i < kHeadDim; ++i) EXPECT_EQ(b[i], a[i]);
    }
  }
}

TEST_P(RopeTest, TheQuirkTakesCosinesOfTheCosine) {
  Tensor cos = MakeTensor({9, 4}), sin = MakeTensor({9, 4});
  ASSERT_TRUE(FillRopeTables(10000.0f, 8, true, cos.view(), sin.view()).ok());
  const double t = std::cos(7 * std::pow(10000.0, -0.25));
  EXPECT_NEAR(cos.ptr<float>()[7 * 4 + 1], std::cos(t), 1e-6);
  EXPECT_NEAR(sin.ptr<float>()[7 * 4 + 1], std::sin(t), 1e-6);
}

TEST_P(RopeTest, RefusesPositionsBeyondTheTables) {
  Tensor cos = MakeTensor({9, 4}), x = MakeTensor({2, 1, 8});
  const std::vector<int32_t> positions = {8, 9};
  EXPECT_EQ(
      OnDevice(Rope, {x.view(), ViewOf(positions), cos.view(), cos.view()},
               stream_)
          .message(),
      "Rope: position 9 of row 1 is outside [0, 9)");
  Tensor wide = MakeTensor({9, 5});
  EXPECT_EQ(
      OnDevice(Rope, {x.view(), ViewOf(positions), wide.view(), wide.view()},
               stream_)
          .code(),
      absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FillRopeTables(1.0f, 3, false, cos.view(), cos.view()).code(),
            absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_ON_ALL_VARIANTS(RopeTest);

}  // namespace
}  // namespace moe

#include "kernels/ops/moe_combine.h"

#include <cmath>

#include "kernels/core/cpu_stream.h"
#include "tests/kernels/ops/on_device.h"
#include "tests/kernels/ops/op_test.h"

namespace moe {
namespace {

class MoeCombineTest : public VariantTest {
 protected:
  static constexpr int64_t kRows = 23, kHidden = 37, kTopK = 2;

  MoeCombineTest() {
    for (int64_t i = 0; i < kRows * kTopK; ++i) {
      slots_.ptr<int32_t>()[i] = static_cast<int32_t>(kRows * kTopK - 1 - i);
    }
  }
  MoeCombineArgs Args(const Tensor& y) {
    return {.expert_out = expert_out_.view(),
            .slot_of = slots_.view(),
            .weights = weights_.view(),
            .mlp_out = mlp_.view(),
            .coefficients = coefficients_.view(),
            .moe_index = 0,
            .residual = residual_.view(),
            .y = y.view()};
  }
  double Experts(int64_t r, int64_t i) {
    double sum = 0;
    for (int64_t j = 0; j < kTopK; ++j) {
      const int32_t slot = slots_.ptr<int32_t>()[r * kTopK + j];
      sum += double(weights_.ptr<float>()[r * kTopK + j]) *
             expert_out_.ptr<float>()[slot * kHidden + i];
    }
    return sum;
  }

  Tensor expert_out_ = RandomTensor({kRows * kTopK, kHidden}, 1);
  Tensor slots_ = MakeTensor({kRows, kTopK}, DType::kI32);
  Tensor weights_ = RandomTensor({kRows, kTopK}, 2);
  Tensor mlp_ = RandomTensor({kRows, kHidden}, 3);
  Tensor coefficients_ = RandomTensor({kRows, 2}, 4, 3.0f);
  Tensor residual_ = RandomTensor({kRows, kHidden}, 5);
};

TEST_P(MoeCombineTest, MixesByTheSoftmaxOfTheCoefficients) {
  for (int moe_index : {0, 1}) {
    Tensor y = MakeTensor({kRows, kHidden});
    MoeCombineArgs args = Args(y);
    args.moe_index = moe_index;
    ASSERT_TRUE(OnDevice(MoeCombine, args, stream_).ok());
    for (int64_t r = 0; r < kRows; ++r) {
      const double c0 = std::exp(double(coefficients_.ptr<float>()[2 * r]));
      const double c1 = std::exp(double(coefficients_.ptr<float>()[2 * r + 1]));
      const double share = (moe_index == 0 ? c0 : c1) / (c0 + c1);
      for (int64_t i = 0; i < kHidden; ++i) {
        const int64_t at = r * kHidden + i;
        EXPECT_NEAR(y.ptr<float>()[at],
                    residual_.ptr<float>()[at] + share * Experts(r, i) +
                        (1 - share) * mlp_.ptr<float>()[at],
                    1e-6);
      }
    }
  }
}

TEST_P(MoeCombineTest, AddsTheBranchesWithoutCoefficients) {
  Tensor y = MakeTensor({kRows, kHidden});
  MoeCombineArgs args = Args(y);
  args.coefficients = {};
  ASSERT_TRUE(OnDevice(MoeCombine, args, stream_).ok());
  for (int64_t at = 0; at < kRows * kHidden; ++at) {
    EXPECT_NEAR(y.ptr<float>()[at],
                residual_.ptr<float>()[at] +
                    Experts(at / kHidden, at % kHidden) + mlp_.ptr<float>()[at],
                1e-6);
  }
  args.mlp_out = {};
  args.residual = {};
  ASSERT_TRUE(OnDevice(MoeCombine, args, stream_).ok());
  for (int64_t at = 0; at < kRows * kHidden; ++at) {
    EXPECT_NEAR(y.ptr<float>()[at], Experts(at / kHidden, at % kHidden), 1e-6);
  }
}

TEST_P(MoeCombineTest, MayWriteOverTheResidualAndGivesTheSameBitsOnThreads) {
  Tensor y = MakeTensor({kRows, kHidden});
  ASSERT_TRUE(OnDevice(MoeCombine, Args(y), stream_).ok());
  ThreadPool pool(3);
  CpuStream stream(pool);
  MoeCombineArgs args = Args(residual_);
  ASSERT_TRUE(OnDevice(MoeCombine, args, stream).ok());
  EXPECT_TRUE(
      SameBits(y.ptr<float>(), residual_.ptr<float>(), kRows * kHidden));
}

TEST_P(MoeCombineTest, RefusesASlotOutOfRange) {
  slots_.ptr<int32_t>()[3] = kRows * kTopK;
  Tensor y = MakeTensor({kRows, kHidden});
  EXPECT_EQ(OnDevice(MoeCombine, Args(y), stream_).message(),
            "MoeCombine: slot 46 of row 1 is outside [0, 46)");
}

INSTANTIATE_ON_ALL_VARIANTS(MoeCombineTest);

}  // namespace
}  // namespace moe

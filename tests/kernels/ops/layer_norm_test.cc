#include "kernels/ops/layer_norm.h"

#include <cmath>

#include "kernels/core/cpu_stream.h"
#include "kernels/ops/rms_norm.h"
#include "tests/kernels/ops/on_device.h"
#include "tests/kernels/ops/op_test.h"

namespace moe {
namespace {

class NormTest : public VariantTest {};

// Both norms of one row in double precision.
std::vector<double> Reference(const float* x, int64_t n, bool centre,
                              double epsilon) {
  double mean = 0, square = 0;
  for (int64_t i = 0; i < n && centre; ++i) mean += x[i] / double(n);
  for (int64_t i = 0; i < n; ++i) {
    square += (x[i] - mean) * (x[i] - mean) / double(n);
  }
  std::vector<double> y(n);
  for (int64_t i = 0; i < n; ++i) {
    y[i] = (x[i] - mean) / std::sqrt(square + epsilon);
  }
  return y;
}

TEST_P(NormTest, EqualsTheDoubleReference) {
  for (int64_t hidden : {1, 5, 64, 97, 1024}) {
    Tensor x = RandomTensor({3, hidden}, 1, 4.0f);
    for (int64_t i = 0; i < hidden; ++i) x.ptr<float>()[i] += 50.0f;
    Tensor weight = RandomTensor({hidden}, 2);
    Tensor bias = RandomTensor({hidden}, 3);
    Tensor y = MakeTensor({3, hidden});
    ASSERT_TRUE(
        OnDevice(LayerNorm,
                 {x.view(), weight.view(), bias.view(), y.view(), 1e-5f},
                 stream_)
            .ok());
    Tensor rms = MakeTensor({3, hidden});
    ASSERT_TRUE(
        OnDevice(RmsNorm, {x.view(), weight.view(), rms.view(), 1e-5f}, stream_)
            .ok());
    for (int r = 0; r < 3; ++r) {
      const float* row = x.ptr<float>() + r * hidden;
      const auto layer = Reference(row, hidden, true, 1e-5);
      const auto root = Reference(row, hidden, false, 1e-5);
      for (int64_t i = 0; i < hidden; ++i) {
        const double w = weight.ptr<float>()[i], b = bias.ptr<float>()[i];
        EXPECT_NEAR(y.ptr<float>()[r * hidden + i], layer[i] * w + b, 3e-5);
        EXPECT_NEAR(rms.ptr<float>()[r * hidden + i], root[i] * w, 3e-6);
      }
    }
  }
}

TEST_P(NormTest, ARowHasTheSameBitsInAnyBatchAndOnAnyThreads) {
  constexpr int64_t kRows = 101, kHidden = 219;
  Tensor x = RandomTensor({kRows, kHidden}, 4);
  Tensor weight = RandomTensor({kHidden}, 5);
  Tensor alone = MakeTensor({kRows, kHidden});
  Tensor alone_rms = MakeTensor({kRows, kHidden});
  for (int64_t r = 0; r < kRows; ++r) {
    ASSERT_TRUE(OnDevice(LayerNorm,
                         {x.view().Rows(r, r + 1),
                          weight.view(),
                          {},
                          alone.view().Rows(r, r + 1),
                          1e-5f},
                         stream_)
                    .ok());
    ASSERT_TRUE(OnDevice(RmsNorm,
                         {x.view().Rows(r, r + 1), weight.view(),
                          alone_rms.view().Rows(r, r + 1), 1e-5f},
                         stream_)
                    .ok());
  }
  for (int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    CpuStream stream(pool);
    Tensor y = MakeTensor({kRows, kHidden});
    ASSERT_TRUE(OnDevice(LayerNorm,
                         {x.view(), weight.view(), {}, y.view(), 1e-5f}, stream)
                    .ok());
    EXPECT_TRUE(SameBits(y.ptr<float>(), alone.ptr<float>(), kRows * kHidden));
    ASSERT_TRUE(
        OnDevice(RmsNorm, {x.view(), weight.view(), y.view(), 1e-5f}, stream)
            .ok());
    EXPECT_TRUE(
        SameBits(y.ptr<float>(), alone_rms.ptr<float>(), kRows * kHidden));
  }
}

TEST_P(NormTest, NamesTheShapesThatDoNotFit) {
  Tensor x = MakeTensor({8, 1024}), weight = MakeTensor({512});
  const absl::Status status = OnDevice(
      LayerNorm, {x.view(), weight.view(), {}, x.view(), 1e-5f}, stream_);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "LayerNorm: weight is f32 [512], must be f32 [1024]");
  EXPECT_EQ(
      OnDevice(RmsNorm, {x.view(), {}, x.view(), 1e-5f}, stream_).message(),
      "RmsNorm: weight is absent, must be f32 [1024]");
}

INSTANTIATE_ON_ALL_VARIANTS(NormTest);

}  // namespace
}  // namespace moe

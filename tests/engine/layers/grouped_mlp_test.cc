#include "engine/layers/grouped_mlp.h"

#include <cmath>
#include <string>
#include <vector>

#include "engine/layers/output_head.h"
#include "kernels/core/cpu_backend.h"
#include "kernels/core/cpu_stream.h"
#include "tests/kernels/ops/op_test.h"

namespace moe {
namespace {

constexpr int64_t kHidden = 20, kFfn = 24;

struct Mlp {
  Mlp(ActivationKind activation, uint32_t seed, Stream& stream)
      : up(RandomTensor(
            {activation == ActivationKind::kSwiGlu ? 2 * kFfn : kFfn, kHidden},
            seed, 0.5f)),
        down(RandomTensor({kHidden, kFfn}, seed + 1, 0.5f)) {
    weights.up.weight = *PackWeight(up.view(), DType::kF32, stream);
    weights.up.bias = RandomTensor({up.dim(0)}, seed + 2);
    weights.down.weight = *PackWeight(down.view(), DType::kF32, stream);
    weights.down.bias = RandomTensor({kHidden}, seed + 3);
  }
  Tensor up, down;
  MlpWeights weights;
};

double Activate(ActivationKind activation, const std::vector<double>& z,
                int64_t i) {
  const double x = z[i];
  switch (activation) {
    case ActivationKind::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(0.79788456 * x * (1 + 0.044715 * x * x)));
    case ActivationKind::kGeluErf:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case ActivationKind::kSquaredRelu:
      return x > 0 ? x * x : 0;
    case ActivationKind::kSwiGlu:
      return x / (1 + std::exp(-x)) * z[kFfn + i];
  }
  return 0;
}

double Affine(const LinearWeights& weights, const Tensor& matrix,
              const double* x, int64_t out) {
  double sum = weights.bias.ptr<float>()[out];
  for (int64_t i = 0; i < matrix.dim(1); ++i) {
    sum += x[i] * matrix.ptr<float>()[out * matrix.dim(1) + i];
  }
  return sum;
}

std::vector<double> Reference(const Mlp& mlp, ActivationKind activation,
                              const float* row) {
  const std::vector<double> x(row, row + kHidden);
  std::vector<double> z, a, y;
  for (int64_t i = 0; i < mlp.up.dim(0); ++i) {
    z.push_back(Affine(mlp.weights.up, mlp.up, x.data(), i));
  }
  for (int64_t i = 0; i < kFfn; ++i) a.push_back(Activate(activation, z, i));
  for (int64_t i = 0; i < kHidden; ++i) {
    y.push_back(Affine(mlp.weights.down, mlp.down, a.data(), i));
  }
  return y;
}

class GroupedMlpTest : public testing::TestWithParam<ActivationKind> {
 protected:
  ThreadPool pool_{2};
  CpuStream stream_{pool_};
};

TEST_P(GroupedMlpTest, JobsOfManyRowsOneRowAndNoneEqualTheReference) {
  const Tensor x = RandomTensor({9, kHidden}, 1);
  // Jobs over rows [0, 4), [4, 4), [4, 5) and all 9.
  const std::vector<int64_t> offsets = {0, 4, 4, 5};
  std::vector<Mlp> mlps;
  for (uint32_t i = 0; i < 4; ++i) {
    mlps.emplace_back(GetParam(), 10 * (i + 1), stream_);
  }
  const MlpScratch scratch = *MlpScratch::Create(
      HostBackend(),
      {{.ffn_hidden_size = kFfn, .activation = GetParam()}}, 16);
  Tensor some = MakeTensor({5, kHidden});
  Tensor residual = RandomTensor({9, kHidden}, 3);
  Tensor all = RandomTensor({9, kHidden}, 3);
  std::vector<MlpJob> jobs(4);
  for (int i = 0; i < 3; ++i) {
    jobs[i].weights = &mlps[i].weights;
    jobs[i].x = x.view().Rows(offsets[i], offsets[i + 1]);
    jobs[i].y = some.view().Rows(offsets[i], offsets[i + 1]);
    UseScratch(scratch, offsets[i], offsets[i + 1], jobs[i]);
  }
  jobs[3].weights = &mlps[3].weights;
  jobs[3].x = x.view();
  jobs[3].residual = all.view();
  jobs[3].y = all.view();
  UseScratch(scratch, 5, 14, jobs[3]);
  const absl::Status status = RunMlps(jobs, GetParam(), stream_);
  ASSERT_TRUE(status.ok()) << status;

  for (int64_t s = 0; s < 5; ++s) {
    const auto want = Reference(mlps[s < 4 ? 0 : 2], GetParam(),
                                x.ptr<float>() + s * kHidden);
    for (int64_t i = 0; i < kHidden; ++i) {
      EXPECT_NEAR(some.ptr<float>()[s * kHidden + i], want[i], 2e-5);
    }
  }
  for (int64_t r = 0; r < 9; ++r) {
    const auto want =
        Reference(mlps[3], GetParam(), x.ptr<float>() + r * kHidden);
    for (int64_t i = 0; i < kHidden; ++i) {
      const int64_t at = r * kHidden + i;
      EXPECT_NEAR(all.ptr<float>()[at], residual.ptr<float>()[at] + want[i],
                  2e-5);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Activations, GroupedMlpTest,
                         testing::Values(ActivationKind::kGeluTanh,
                                         ActivationKind::kGeluErf,
                                         ActivationKind::kSquaredRelu,
                                         ActivationKind::kSwiGlu));

TEST(OutputHeadTest, ComputesTheWantedRowsOnly) {
  ThreadPool pool(1);
  CpuStream stream(pool);
  const Tensor table = RandomTensor({7, kHidden}, 2);
  LinearWeights weight;
  weight.weight = *PackWeight(table.view(), DType::kF32, stream);
  const OutputHead head(
      Norm(NormKind::kRmsNorm, 1e-5f, RandomTensor({kHidden}, 5), Tensor()),
      std::move(weight));
  const Tensor hidden = RandomTensor({6, kHidden}, 1);
  Tensor scratch = MakeTensor({6, kHidden}), all = MakeTensor({6, 7});
  const std::vector<int32_t> every = {0, 1, 2, 3, 4, 5}, some = {1, 4};
  ASSERT_TRUE(
      head.Forward(hidden.view(), every, scratch.view(), all.view(), stream)
          .ok());
  Tensor logits = MakeTensor({2, 7});
  ASSERT_TRUE(
      head.Forward(hidden.view(), some, scratch.view(), logits.view(), stream)
          .ok());
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(SameBits(logits.ptr<float>() + i * 7,
                         all.ptr<float>() + some[i] * 7, 7));
  }
  EXPECT_FALSE(SameBits(all.ptr<float>() + 7, all.ptr<float>() + 28, 7));
  EXPECT_TRUE(head.Forward(hidden.view(), {}, scratch.view(), {}, stream).ok());
}

}  // namespace
}  // namespace moe

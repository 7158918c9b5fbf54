#include <cstdint>
#include <utility>
#include <vector>

#include "engine/config/uniform_model_config.h"
#include "engine/moe/moe_layer.h"
#include "gtest/gtest.h"
#include "kernels/core/cpu_backend.h"
#include "kernels/core/cpu_stream.h"
#include "kernels/core/stream.h"
#include "kernels/core/thread_pool.h"
#include "tests/kernels/ops/op_test.h"

namespace moe {
namespace {

constexpr int64_t kHidden = 8;
constexpr int64_t kFfn = 12;
constexpr int64_t kMaxRows = 5;

int64_t Bytes(const MoeScratch& scratch) {
  int64_t elements = 0;
  for (const Tensor* tensor :
       {&scratch.expert_mlp.up, &scratch.expert_mlp.activated,
        &scratch.expert_out}) {
    if (!tensor->view().empty()) elements += tensor->view().num_elements();
  }
  return elements * static_cast<int64_t>(sizeof(float));
}

class MoeScratchTest : public testing::TestWithParam<ActivationKind> {
 protected:
  MoeScratchTest() {
    config_.hidden_size = kHidden;
    config_.ffn_hidden_size = kFfn;
    config_.num_layers = 1;
    config_.experts_per_layer = {2};
    config_.activation = GetParam();
    config_.top_k = 2;
  }

  // One slice of `ffn` features.
  Experts OneExpert(int64_t ffn) {
    const bool gated = GetParam() == ActivationKind::kSwiGlu;
    std::vector<MlpWeights> experts(1);
    experts[0].up.weight =
        *PackWeight(RandomTensor({gated ? 2 * ffn : ffn, kHidden}, 1).view(),
                    DType::kF32, stream_);
    experts[0].down.weight = *PackWeight(RandomTensor({kHidden, ffn}, 2).view(),
                                         DType::kF32, stream_);
    return Experts(std::move(experts));
  }

  ThreadPool threads_{1};
  CpuStream stream_{threads_};
  UniformModelConfig config_;
};

TEST_P(MoeScratchTest, GrowsByNoMoreThanItsBound) {
  const bool gated = GetParam() == ActivationKind::kSwiGlu;
  for (const int64_t ffn : {kFfn, kFfn / 2}) {
    // The rank's own slots, one more, and many.
    for (const int64_t slots : {int64_t{10}, int64_t{11}, int64_t{60}}) {
      MoeScratch scratch =
          *MoeScratch::Create(stream_.backend(), config_, kMaxRows);
      const int64_t before = Bytes(scratch);
      ASSERT_TRUE(
          scratch.ReserveSlots(slots, kHidden, OneExpert(ffn), stream_).ok());
      EXPECT_EQ(Bytes(scratch) - before,
                MoeScratch::MaxGrowthBytes(config_, kMaxRows, slots,
                                           slots * (gated ? 2 : 1) * ffn,
                                           gated ? slots * ffn : 0))
          << slots << " slots of " << ffn << " features";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Activations, MoeScratchTest,
                         testing::Values(ActivationKind::kGeluErf,
                                         ActivationKind::kSwiGlu));

}  // namespace
}  // namespace moe

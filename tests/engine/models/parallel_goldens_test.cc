// Checkpoints that the real Megatron-DeepSpeed wrote, at whatever tensor and
// expert degree, on 1 to 8 ranks, against what it computes from them itself.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/models/model_harness.h"
#include "tests/engine/models/parallel_harness.h"
#include "tests/support/golden.h"

namespace moe {
namespace {

constexpr float kLogitTolerance = 1e-4f;

class ParallelGoldensTest : public testing::TestWithParam<std::string> {
 protected:
  std::vector<std::vector<int32_t>> Sequences() const {
    const std::vector<int32_t> all = golden_.Ints("tokens");
    const int64_t length = golden_.Shape("tokens")[1];
    std::vector<std::vector<int32_t>> sequences;
    for (auto it = all.begin(); it != all.end(); it += length) {
      sequences.emplace_back(it, it + length);
    }
    return sequences;
  }
  // Without the padding columns.
  std::vector<float> Logits(size_t sequence, int64_t vocab) const {
    const std::vector<float> all = golden_.Floats("logits");
    const std::vector<int64_t> shape = golden_.Shape("logits");
    std::vector<float> logits;
    for (int64_t t = 0; t < shape[1]; ++t) {
      const auto row = all.begin() + (sequence * shape[1] + t) * shape[2];
      logits.insert(logits.end(), row, row + vocab);
    }
    return logits;
  }

  const Golden golden_{GetParam()};
};

TEST_P(ParallelGoldensTest, LogitsOnAnyNumberOfRanks) {
  const auto checkpoint = OpenOrDie(GoldenDirectory(GetParam()));
  const ModelConfig& config = checkpoint->config();
  const size_t moe_layers = static_cast<size_t>(
      std::count_if(config.layers.begin(), config.layers.end(),
                    [](const LayerConfig& layer) { return layer.is_moe(); }));
  const auto all = [&](int degree) {
    return std::vector<int>(moe_layers, degree);
  };
  const auto sequences = Sequences();
  std::vector<std::vector<float>> want;
  for (const RankLayout& layout : std::vector<RankLayout>{
           {1, 1, all(1)},
           {2, 1, all(2)},
           {2, 2, all(2)},
           {2, 1, all(1), all(2)},
           {4, 1, all(4)},
           {4, 2, all(4)},
           {4, 2, all(2), all(2)},
           {8, 2, all(8)},
       }) {
    SCOPED_TRACE(layout.Name());
    const ParallelResult got =
        RunParallel(*checkpoint, sequences, {.layout = layout});
    for (size_t s = 0; s < sequences.size(); ++s) {
      EXPECT_LE(MaxDifference(got.logits[s], Logits(s, config.vocab_size)),
                kLogitTolerance)
          << "sequence " << s;
    }
    if (layout.world == 1) want = got.logits;
    if (layout.tensor == 1 && layout.slice_degrees.empty()) {
      EXPECT_EQ(got.logits, want);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, ParallelGoldensTest,
    testing::Values("moe_gqa_pre", "moe_paper_era", "moe_top2_head",
                    "moe_top4_pre", "moe_untied_pre", "prmoe_bf16_zero1_pre",
                    "prmoe_head", "prmoe_tp2_ep2_head"),
    [](const testing::TestParamInfo<std::string>& info) { return info.param; });

}  // namespace
}  // namespace moe

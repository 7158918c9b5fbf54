// Compares the values with those that PyTorch reads from the same files.

#include <fstream>
#include <string>

#include "engine/loading/open_checkpoint.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/golden.h"
#include "tests/support/weight_values.h"

namespace moe {
namespace {

class GoldenValuesTest : public testing::TestWithParam<const char*> {};

TEST_P(GoldenValuesTest, AreThoseThatPyTorchReads) {
  const std::string directory = GoldenDirectory(GetParam());
  std::ifstream file(directory + "/values.json");
  const nlohmann::json values = nlohmann::json::parse(file, nullptr, false);
  ASSERT_TRUE(values.is_object());
  ASSERT_GT(values.size(), 40u);
  const auto checkpoint = OpenCheckpoint(directory);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  for (const auto& [name, want] : values.items()) {
    SCOPED_TRACE(name);
    const auto weight = (*checkpoint)->Get(name);
    ASSERT_TRUE(weight.ok()) << weight.status();
    const auto shape = want["shape"].get<std::vector<int64_t>>();
    ASSERT_EQ(weight->view.rank, static_cast<int>(shape.size()));
    for (size_t i = 0; i < shape.size(); ++i) {
      ASSERT_EQ(weight->view.dims[i], shape[i]);
    }
    const std::vector<float> got = WeightValues(weight->view);
    for (size_t i = 0; i < want["at"].size(); ++i) {
      EXPECT_EQ(got.at(want["at"][i].get<size_t>()),
                want["values"][i].get<double>());
    }
    double sum = 0;
    for (float value : got) sum += value;
    EXPECT_NEAR(sum, want["sum"].get<double>(), 1e-9 * got.size());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Files, GoldenValuesTest,
    testing::Values("dense_head", "moe_gqa_pre", "moe_paper_era",
                    "moe_rotary_head_quirk", "moe_top2_head", "moe_top4_pre",
                    "moe_untied_pre", "prmoe_bf16_zero1_pre", "prmoe_head",
                    "prmoe_tp2_ep2_head"),
    [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace moe

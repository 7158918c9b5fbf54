// The engine with a real model: answers must not depend on other requests, on
// every device and instruction set.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/loading/engine_factory.h"
#include "gtest/gtest.h"
#include "tests/engine/runtime/engine_fixture.h"
#include "tests/support/device_variant.h"
#include "tests/support/golden.h"
#include "tests/support/test_device.h"

namespace moe {
namespace {

struct Setting {
  const char* name;
  int64_t num_blocks;
  int64_t max_step_tokens;
  int64_t prefill_chunk_tokens;
  int num_threads;
};

std::vector<std::string> Fingerprints(const Setting& setting,
                                      DType weight_dtype, bool together,
                                      EngineLoad* load) {
  LoadEngineOptions options;
  options.device = TestDevice();
  options.checkpoint_path = GoldenDirectory("prmoe_head");
  options.weight_dtype = weight_dtype;
  options.num_threads = setting.num_threads;
  options.engine.num_blocks = setting.num_blocks;
  options.engine.block_size = 4;
  options.engine.max_step_tokens = setting.max_step_tokens;
  options.engine.prefill_chunk_tokens = setting.prefill_chunk_tokens;
  options.engine.max_running_sequences = 16;
  absl::StatusOr<LoadedEngine> loaded = LoadEngine(options);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  if (!loaded.ok()) return {};
  const std::vector<Request> requests = MixedRequests(64, 8, 501, 36);
  std::vector<std::string> fingerprints;
  if (together) {
    fingerprints = RunTogether(*loaded->engine, requests);
  } else {
    for (const Request& request : requests) {
      fingerprints.push_back(RunTogether(*loaded->engine, {request})[0]);
    }
  }
  *load = loaded->engine->GetLoad();
  EXPECT_EQ(load->free_blocks, setting.num_blocks);
  return fingerprints;
}

class EngineModelDeterminismTest : public VariantTest {
 protected:
  static void ExpectTogetherAsAlone(DType weight_dtype,
                                    const std::vector<Setting>& settings) {
    EngineLoad load;
    const std::vector<std::string> alone =
        Fingerprints({"alone", 256, 256, 0, 1}, weight_dtype, false, &load);
    EXPECT_EQ(load.preemptions, 0);
    ASSERT_EQ(alone.size(), 64u);
    for (const Setting& setting : settings) {
      SCOPED_TRACE(setting.name);
      const std::vector<std::string> together =
          Fingerprints(setting, weight_dtype, true, &load);
      ASSERT_EQ(together.size(), 64u);
      for (size_t i = 0; i < 64; ++i) EXPECT_EQ(together[i], alone[i]) << i;
      EXPECT_EQ(load.preemptions > 0, setting.num_blocks < 30);
    }
  }
};

TEST_P(EngineModelDeterminismTest, MixedRequestsGiveTheBitsOfEachAlone) {
  ExpectTogetherAsAlone(DType::kBf16, {{"TinyPoolChunksOf7", 18, 64, 7, 2}});
}

// On the default variant, with all combinations of options.
using EngineModelSettingsTest = EngineModelDeterminismTest;

TEST_P(EngineModelSettingsTest, MixedRequestsGiveTheBitsOfEachAlone) {
  ExpectTogetherAsAlone(DType::kBf16, {{"WholePrompts", 256, 256, 0, 2},
                                       {"ChunksOf7", 256, 64, 7, 1},
                                       {"ChunksOf64", 256, 256, 64, 2},
                                       {"TinyPool", 18, 64, 0, 1}});
}

TEST_P(EngineModelSettingsTest, TheSameWithFloat32Weights) {
  ExpectTogetherAsAlone(DType::kF32, {{"TinyPoolChunksOf7", 18, 64, 7, 2}});
}

INSTANTIATE_TEST_SUITE_P(Best, EngineModelSettingsTest,
                         testing::Values(DefaultVariant()), VariantName);

INSTANTIATE_ON_ALL_VARIANTS(EngineModelDeterminismTest);

}  // namespace
}  // namespace moe

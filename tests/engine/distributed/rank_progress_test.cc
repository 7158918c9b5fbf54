#include "engine/distributed/rank_progress.h"

#include <gtest/gtest.h>

#include <string>

namespace moe {
namespace {

RankProgress Example() {
  RankProgress progress;
  progress.state = RankState::kInStep;
  progress.last_step = 41;
  progress.exchange_wait = absl::Seconds(3);
  progress.last_step_wait = absl::Microseconds(70);
  progress.weight_bytes = int64_t{5} << 40;
  progress.kv_cache_bytes = 1 << 20;
  progress.num_threads = 2;
  progress.isa = "AVX3";
  return progress;
}

TEST(RankProgressTest, ComesBackAsItWas) {
  RankProgress progress = Example();
  auto back = RankProgress::Parse(progress.Serialize());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->state, RankState::kInStep);
  EXPECT_EQ(back->last_step, 41);
  EXPECT_EQ(back->exchange_wait, absl::Seconds(3));
  EXPECT_EQ(back->last_step_wait, absl::Microseconds(70));
  EXPECT_EQ(back->weight_bytes, int64_t{5} << 40);
  EXPECT_EQ(back->kv_cache_bytes, 1 << 20);
  EXPECT_EQ(back->num_threads, 2);
  EXPECT_EQ(back->isa, "AVX3");
  EXPECT_FALSE(back->expert_load.has_value());

  MoeLayerLoad layer;
  layer.layer = 3;
  layer.rows_by_expert = {1, 2, 3};
  layer.computed_slots = 9;
  progress.expert_load = ExpertLoad{{layer}};
  back = RankProgress::Parse(progress.Serialize());
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_TRUE(back->expert_load.has_value());
  ASSERT_EQ(back->expert_load->layers.size(), 1u);
  EXPECT_EQ(back->expert_load->layers[0].rows_by_expert, layer.rows_by_expert);
}

TEST(RankProgressTest, DamagedBytesAreRefused) {
  RankProgress progress = Example();
  progress.expert_load = ExpertLoad{{MoeLayerLoad()}};
  const std::string bytes = progress.Serialize();
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(RankProgress::Parse(bytes.substr(0, n)).ok()) << n;
  }
}

}  // namespace
}  // namespace moe

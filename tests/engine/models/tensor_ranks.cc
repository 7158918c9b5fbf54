#include "tests/engine/models/tensor_ranks.h"

#include <algorithm>
#include <cmath>

#include "comm/topology.h"
#include "engine/parallel/process_groups.h"
#include "engine/parallel/rank_shard.h"
#include "gtest/gtest.h"
#include "tests/fakes/random_checkpoint.h"
#include "tests/support/ranks.h"
#include "tests/support/test_device.h"

namespace moe {

ParallelLayout TensorLayout(const ModelConfig& config, int degree) {
  std::vector<MoeLayerDegrees> layers;
  for (int64_t l = 0; l < config.num_layers(); ++l) {
    if (!config.is_moe_layer(l)) continue;
    layers.push_back({.layer = static_cast<int>(l),
                      .num_experts = static_cast<int>(config.num_experts(l))});
  }
  return *ParallelLayout::Create(degree, degree, layers);
}

void RunRanks(const ModelConfig& config, const ParallelLayout& layout,
              const std::function<void(const ModelParallel&)>& body) {
  const int world_size = layout.world_size();
  RunThreadRanks(world_size, [&](HostCommunicator& world) {
    auto groups = ProcessGroups::Create(*world.Split(0, world.rank(), "world"),
                                        Topology::OneNode(world_size), layout,
                                        TestBackend());
    ASSERT_TRUE(groups.ok()) << groups.status();
    // All have theirs before a body may abort some.
    EXPECT_TRUE(world.Barrier().ok());
    const auto shard = RankShard::Of(config, layout, world.rank());
    ASSERT_TRUE(shard.ok()) << shard.status();
    ModelParallel parallel;
    parallel.shard = *shard;
    parallel.groups = groups->get();
    body(parallel);
  });
}

UniformModelConfig SmallDenseConfig() {
  UniformModelConfig config = SmallPrMoeConfig();
  config.family = "gpt";
  config.experts_per_layer = {0, 0, 0, 0};
  config.residual_moe = ResidualMoeKind::kNone;
  return config;
}

float Largest(const std::vector<float>& values) {
  float largest = 0;
  for (float x : values) largest = std::max(largest, std::abs(x));
  return largest;
}

}  // namespace moe

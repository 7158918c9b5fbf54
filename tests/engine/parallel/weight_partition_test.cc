// The parts that ranks have of each weight make up the whole of it, whatever
// the layout.

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/config/uniform_model_config.h"
#include "engine/config/weight_inventory.h"
#include "engine/parallel/rank_shard.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

struct Layout {
  int world, tensor, ep, es;
};

class WeightPartitionTest
    : public testing::TestWithParam<std::tuple<Layout, bool>> {
 protected:
  Layout layout() const { return std::get<0>(GetParam()); }

  ModelConfig Config() const {
    UniformModelConfig config;
    config.vocab_size = 101;
    config.padded_vocab_size = 128;
    config.hidden_size = 16;
    config.num_layers = 4;
    config.num_heads = 8;
    config.num_kv_heads = 2;
    config.head_dim = 6;
    config.ffn_hidden_size = 24;
    config.max_positions = 32;
    config.experts_per_layer = {0, 3, 0, 5};
    config.residual_moe = ResidualMoeKind::kB2;
    config.tied_embeddings = false;
    if (std::get<1>(GetParam())) config.activation = ActivationKind::kSwiGlu;
    ModelConfig model = config;
    // Not all layers alike.
    model.layers[2].attention.num_heads = 16;
    model.layers[2].attention.num_kv_heads = 8;
    return model;
  }

  std::vector<RankShard> Shards(const ModelConfig& config) const {
    std::vector<MoeLayerDegrees> layers;
    for (int layer : {1, 3}) {
      layers.push_back({layer, static_cast<int>(config.num_experts(layer)),
                        layout().ep, layout().es, 24});
    }
    const auto made =
        ParallelLayout::Create(layout().world, layout().tensor, layers);
    EXPECT_TRUE(made.ok()) << made.status();
    std::vector<RankShard> shards;
    for (int rank = 0; rank < layout().world; ++rank) {
      shards.push_back(*RankShard::Of(config, *made, rank));
    }
    return shards;
  }
};

bool Holds(const RankShard& shard, const WeightSpec& weight) {
  if (weight.expert < 0) return true;
  const ExpertShard& experts = shard.experts[weight.layer];
  return weight.expert >= experts.first_expert &&
         weight.expert < experts.first_expert + experts.num_experts;
}

// How many ranks have each element.
std::vector<int> Holders(const ModelConfig& config, const WeightSpec& weight,
                         const std::vector<RankShard>& shards) {
  const int64_t rows = weight.dims[0];
  const int64_t columns = weight.dims.size() == 2 ? weight.dims[1] : 1;
  std::vector<int> holders(rows * columns);
  for (const RankShard& shard : shards) {
    if (!Holds(shard, weight)) continue;
    const std::optional<WeightSlice> slice = shard.SliceOf(config, weight);
    if (!slice.has_value()) continue;
    std::vector<IndexRange> ranges = slice->rows;
    if (ranges.empty()) ranges.push_back({0, rows});
    const IndexRange own = slice->columns.value_or(IndexRange{0, columns});
    for (const IndexRange& range : ranges) {
      for (int64_t r = range.begin; r < range.end; ++r) {
        for (int64_t c = own.begin; c < own.end; ++c) {
          ++holders[r * columns + c];
        }
      }
    }
  }
  return holders;
}

TEST_P(WeightPartitionTest, RanksTogetherHaveEachElementOnceACopy) {
  const ModelConfig config = Config();
  const std::vector<RankShard> shards = Shards(config);
  const Layout& l = layout();
  for (const WeightSpec& weight : WeightInventory(config).All()) {
    const bool of_expert = weight.expert >= 0;
    const int copies = of_expert ? l.world / (l.ep * l.es) : l.world / l.tensor;
    const int degree = of_expert ? l.es : l.tensor;
    const std::vector<int> holders = Holders(config, weight, shards);
    for (size_t i = 0; i < holders.size(); ++i) {
      int want = copies;
      if (weight.partition == WeightPartition::kReplicated) want *= degree;
      if (weight.partition == WeightPartition::kQkvRows) {
        // Fewer heads of keys and values than ranks are on several of them.
        const AttentionConfig& a = config.layers[weight.layer].attention;
        const int64_t row = static_cast<int64_t>(i) /
                            (weight.dims.size() == 2 ? weight.dims[1] : 1);
        if (row >= a.query_rows() && a.num_kv_heads < degree) {
          want *= degree / static_cast<int>(a.num_kv_heads);
        }
      }
      ASSERT_EQ(holders[i], want) << weight.name << " element " << i;
    }
  }
}

TEST_P(WeightPartitionTest, ARankCountsWhatItHas) {
  const ModelConfig config = Config();
  for (const RankShard& shard : Shards(config)) {
    int64_t count = 0;
    for (const WeightSpec& weight : WeightInventory(config).All()) {
      for (const int held : Holders(config, weight, {shard})) count += held;
    }
    EXPECT_EQ(shard.CountParameters(config), count);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, WeightPartitionTest,
    testing::Combine(testing::Values(Layout{1, 1, 1, 1}, Layout{2, 1, 2, 1},
                                     Layout{2, 2, 1, 2}, Layout{4, 2, 2, 2},
                                     Layout{4, 4, 4, 1}, Layout{4, 1, 1, 4},
                                     Layout{8, 4, 2, 2}, Layout{8, 2, 8, 1},
                                     Layout{8, 8, 1, 8}),
                     testing::Bool()),
    [](const auto& info) {
      const Layout& l = std::get<0>(info.param);
      return absl::StrCat("w", l.world, "t", l.tensor, "ep", l.ep, "es", l.es,
                          std::get<1>(info.param) ? "_swiglu" : "");
    });

}  // namespace
}  // namespace moe

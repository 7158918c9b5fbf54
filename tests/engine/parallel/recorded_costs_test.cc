// Parameter counts, costs and plans of many models on many layouts, compared
// with what they once were: a plan that changes unnoticed changes what
// operators see and the rounding of answers.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "comm/topology.h"
#include "engine/config/model_config.h"
#include "engine/config/parameter_count.h"
#include "engine/config/weight_inventory.h"
#include "engine/loading/open_checkpoint.h"
#include "engine/parallel/parallel_cost.h"
#include "engine/parallel/parallel_plan.h"
#include "engine/parallel/parallel_search.h"
#include "engine/parallel/rank_shard.h"
#include "gtest/gtest.h"
#include "tests/engine/parallel/plan_shapes.h"
#include "tests/support/golden.h"
#include "tools/checkpoint/model_presets.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr char kRecorded[] = "tests/engine/parallel/recorded_costs.txt";

std::vector<std::pair<std::string, ModelConfig>> Models() {
  std::vector<std::pair<std::string, ModelConfig>> models;
  for (const std::string& name : ModelPresetNames()) {
    models.emplace_back(name, *FindModelPreset(name));
  }
  models.emplace_back("plan_shapes", Pyramid());
  std::vector<std::string> paths;
  for (const char* parent : {"configs/models", "tests/goldens/models",
                             "tests/goldens/megatron_deepspeed"}) {
    for (const auto& entry : fs::directory_iterator(TestDataPath(parent))) {
      if (fs::exists(entry.path() / "latest")) {
        paths.push_back(
            absl::StrCat(parent, "/", entry.path().filename().string()));
      }
    }
  }
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    const auto checkpoint = OpenCheckpoint(TestDataPath(path));
    if (!checkpoint.ok()) {
      ADD_FAILURE() << path << ": " << checkpoint.status();
      continue;
    }
    models.emplace_back(path, (*checkpoint)->config());
  }
  return models;
}

std::string Text(const PlanPrediction& p) {
  const auto ns = [](absl::Duration d) {
    return absl::StrFormat("%.2f", absl::ToDoubleNanoseconds(d));
  };
  return absl::StrCat(ns(p.weights), " ", ns(p.reduce), " ", ns(p.exchange),
                      " ", ns(p.logits), " ns ", p.weight_bytes, " ",
                      p.cache_bytes, " bytes");
}

// What each rank holds where all MoE layers have these degrees.
std::string ParametersOfRanks(const ModelConfig& config,
                              absl::Span<const MoeLayerKind> kinds, int world,
                              int tensor_degree, int ep, int es) {
  std::vector<MoeLayerDegrees> layers;
  for (const MoeLayerKind& kind : kinds) {
    for (const int layer : kind.layers) {
      layers.push_back({layer, kind.num_experts, ep, es, 0});
    }
  }
  std::sort(layers.begin(), layers.end(),
            [](const auto& a, const auto& b) { return a.layer < b.layer; });
  const auto layout = ParallelLayout::Create(world, tensor_degree, layers);
  std::string text;
  for (int rank = 0; rank < world; ++rank) {
    const auto shard = RankShard::Of(config, *layout, rank);
    absl::StrAppend(&text, " ",
                    shard.ok() ? absl::StrCat(shard->CountParameters(config))
                               : shard.status().message());
  }
  return text;
}

// All costs of a tensor degree as one number.
uint64_t HashOfCosts(const ModelConfig& config, const Topology& topology,
                     const RankResources& rank, int tensor_degree) {
  const ExchangeCosts costs = Costs();
  const ParallelCost cost(config, topology, costs, rank, tensor_degree);
  std::string text = Text(cost.Shared().prediction);
  const int world = topology.world_size();
  const auto kinds = GroupMoeLayers(config, {});
  if (kinds->empty()) {
    text += ParametersOfRanks(config, *kinds, world, tensor_degree, 1, 1);
  }
  for (const MoeLayerKind& kind : *kinds) {
    for (int ep = 1; ep <= world; ++ep) {
      for (int es = 1; ep * es <= world; ++es) {
        const MoeLayerDegrees degrees = {kind.layers[0], kind.num_experts, ep,
                                         es, 0};
        if (world % (ep * es) != 0 || es > 4 ||
            !ParallelLayout::Create(world, tensor_degree, {degrees}).ok()) {
          continue;
        }
        const auto part = cost.MoeLayer(degrees, std::nullopt);
        absl::StrAppend(
            &text, "\n", ep, " ", es, " ", Text(part->prediction), " ",
            part->local_experts, " ", static_cast<int>(part->exchange),
            ParametersOfRanks(config, *kinds, world, tensor_degree, ep, es));
      }
    }
  }
  uint64_t hash = 14695981039346656037u;
  for (const char c : text) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
  }
  return hash;
}

std::string DescribePlan(const ModelConfig& config, NodeShape nodes,
                         DType dtype) {
  const Topology topology = *Topology::FromShape(nodes);
  RankResources rank;
  rank.weight_dtype = dtype;
  const auto plan = PlanParallel(config, {}, topology, Costs(), rank);
  if (!plan.ok()) return std::string(plan.status().message());
  std::vector<std::string> layers, parameters, hashes;
  for (const MoeLayerDegrees& degrees : plan->moe_layers) {
    layers.push_back(
        absl::StrCat(degrees.expert_degree, "x", degrees.slice_degree));
  }
  for (int r = 0; r < topology.world_size(); ++r) {
    const auto shard = RankShard::Of(config, plan->layout, r);
    if (!shard.ok()) return std::string(shard.status().message());
    parameters.push_back(absl::StrCat(shard->CountParameters(config)));
  }
  for (int degree = 1; degree <= topology.world_size(); degree *= 2) {
    if (!CheckTensorDegree(config, topology.world_size(), degree).ok()) {
      continue;
    }
    hashes.push_back(
        absl::StrFormat("%016x", HashOfCosts(config, topology, rank, degree)));
  }
  return absl::StrCat("tensor ", plan->layout.tensor_degree(), " experts ",
                      absl::StrJoin(layers, ","), ": ", Text(plan->prediction),
                      "; ranks ", absl::StrJoin(parameters, " "), "; costs ",
                      absl::StrJoin(hashes, " "));
}

std::string Report() {
  std::string report;
  for (const auto& [name, config] : Models()) {
    const ParameterCount count = CountParameters(config);
    int64_t weights = 0, elements = 0;
    for (const WeightSpec& spec : WeightInventory(config).All()) {
      int64_t size = 1;
      for (const int64_t dim : spec.dims) size *= dim;
      elements += size;
      ++weights;
    }
    absl::StrAppend(&report, name, ": ", count.total, " ", count.active, " in ",
                    weights, " weights of ", elements, "\n");
    for (const NodeShape nodes :
         {NodeShape{1, 1}, NodeShape{1, 2}, NodeShape{2, 2}, NodeShape{2, 4}}) {
      const DType dtype = nodes.num_nodes == 1 ? DType::kBf16 : DType::kF32;
      absl::StrAppend(&report, "  ", nodes.num_nodes, " x ",
                      nodes.ranks_per_node, ": ",
                      DescribePlan(config, nodes, dtype), "\n");
    }
  }
  return report;
}

TEST(RecordedCostsTest, AreWhatTheyWere) {
  const std::string got = Report();
  // To record on purpose: copy this file.
  if (const char* outputs = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR")) {
    std::ofstream(absl::StrCat(outputs, "/recorded_costs.txt")) << got;
  }
  std::ifstream file(TestDataPath(kRecorded));
  std::stringstream recorded;
  recorded << file.rdbuf();
  const std::vector<std::string> want_lines =
      absl::StrSplit(recorded.str(), '\n');
  const std::vector<std::string> got_lines = absl::StrSplit(got, '\n');
  ASSERT_EQ(got_lines.size(), want_lines.size());
  ASSERT_GT(got_lines.size(), 200u);
  for (size_t i = 0; i < got_lines.size(); ++i) {
    EXPECT_EQ(got_lines[i], want_lines[i]);
  }
}

}  // namespace
}  // namespace moe

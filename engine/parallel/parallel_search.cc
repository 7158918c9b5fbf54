#include "engine/parallel/parallel_search.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

absl::Status CheckDegree(absl::string_view name, int degree) {
  if (degree >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", degree, ", must be positive (0: chosen)"));
}

absl::Status CheckLayerOption(const ModelConfig& config,
                              const MoeDegreesOption& option) {
  const std::string layer = absl::StrCat("layer ", option.layer);
  if (option.layer < 0 || option.layer >= config.num_layers()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "degrees are given for ", layer, ", but the model has layers 0 to ",
        config.num_layers() - 1));
  }
  if (!config.is_moe_layer(option.layer)) {
    return absl::InvalidArgumentError(
        absl::StrCat("expert or slice degrees are given for ", layer,
                     ", which is dense: it has no experts"));
  }
  RETURN_IF_ERROR(CheckDegree(absl::StrCat(layer, ": expert degree"),
                              option.expert_degree));
  return CheckDegree(absl::StrCat(layer, ": slice degree"),
                     option.slice_degree);
}

MoeLayerDegrees DegreesOf(const ModelConfig& config, const MoeLayerKind& kind,
                          int expert_degree, int slice_degree) {
  return {kind.layers[0], kind.num_experts, expert_degree, slice_degree,
          config.layers[kind.layers[0]].moe().mlp.ffn_hidden_size};
}

std::string KindText(const MoeLayerKind& kind) {
  return absl::StrCat("layer ", kind.layers[0], " (", kind.num_experts,
                      " experts)");
}

// Of the choices, the fastest first, that are about as fast as the first:
// fewest slices (which change the rounding), then least memory.
size_t PreferredChoice(absl::Span<const MoeLayerChoice> choices) {
  size_t best = 0;
  for (size_t i = 1; i < choices.size(); ++i) {
    const MoeLayerChoice &a = choices[i], &b = choices[best];
    if (a.cost.prediction.total() >
        kSameTime * choices[0].cost.prediction.total()) {
      break;
    }
    if (std::make_pair(a.slice_degree, a.cost.prediction.weight_bytes) <
        std::make_pair(b.slice_degree, b.cost.prediction.weight_bytes)) {
      best = i;
    }
  }
  return best;
}

// Every (ep, es) that the layout allows.
absl::Status ListChoices(const ModelConfig& config,
                         const ParallelOptions& options,
                         const Topology& topology, const ParallelCost& cost,
                         int tensor_degree, MoeLayerKind& kind) {
  const int world = topology.world_size();
  absl::Status refused, exchange_refused;
  kind.choices.clear();
  for (int es = 1; es <= world; ++es) {
    // The layout would refuse the rest, too, but their number is huge.
    if (kind.fixed_slice_degree > 0 ? es != kind.fixed_slice_degree
                                    : world % es != 0) {
      continue;
    }
    int64_t fewest = std::numeric_limits<int64_t>::max();
    for (int ep = 1; ep <= world; ++ep) {
      if (kind.fixed_expert_degree > 0 ? ep != kind.fixed_expert_degree
                                       : world % ep != 0) {
        continue;
      }
      const MoeLayerDegrees degrees = DegreesOf(config, kind, ep, es);
      const absl::Status allowed =
          ParallelLayout::Create(world, tensor_degree, {degrees}).status();
      if (!allowed.ok()) {
        refused.Update(allowed);
        continue;
      }
      // More ranks than experts only if that leaves fewer to the fullest one.
      const int64_t local = ExpertPlacement(world, degrees).NumExpertsOn(0);
      if (kind.fixed_expert_degree == 0 && ep > 1 && local >= fewest) continue;
      fewest = std::min(fewest, local);
      const auto part = cost.MoeLayer(degrees, options.exchange);
      if (!part.has_value()) {
        exchange_refused.Update(absl::InvalidArgumentError(absl::StrCat(
            KindText(kind), ": exchange ", ExchangeKindName(*options.exchange),
            " is not possible with expert degree ", ep, ", slice degree ", es,
            " and tensor degree ", tensor_degree, " on ", topology.ToString(),
            *options.exchange == ExchangeKind::kCoordinated
                ? ": it needs ranks of one tensor group in an expert group"
                : ": it needs an expert group spread evenly over several nodes "
                  "with several ranks each, and tensor degree 1")));
        continue;
      }
      kind.choices.push_back({ep, es, *part});
    }
  }
  if (!kind.choices.empty()) {
    std::stable_sort(kind.choices.begin(), kind.choices.end(),
                     [](const MoeLayerChoice& a, const MoeLayerChoice& b) {
                       return a.cost.prediction.total() <
                              b.cost.prediction.total();
                     });
    kind.preferred = kind.chosen = PreferredChoice(kind.choices);
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(exchange_refused);
  if (!refused.ok() &&
      (kind.fixed_expert_degree == 0) == (kind.fixed_slice_degree == 0)) {
    return refused;
  }
  const bool is_expert = kind.fixed_expert_degree > 0;
  const int degree =
      is_expert ? kind.fixed_expert_degree : kind.fixed_slice_degree;
  const std::string what = absl::StrCat(
      KindText(kind), ": ", is_expert ? "expert" : "slice", " degree ", degree);
  if (degree > 0 && world % degree != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " does not divide the number of ranks, ", world));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(what, " goes with no ", is_expert ? "slice" : "expert",
                   " degree: their product must divide the world of ", world,
                   " ranks and fit tensor degree ", tensor_degree,
                   ", and slices must divide the experts' width of ",
                   config.layers[kind.layers[0]].moe().mlp.ffn_hidden_size));
}

void Add(const PlanPrediction& part, int64_t times, PlanPrediction& sum) {
  sum.weights += times * part.weights;
  sum.reduce += times * part.reduce;
  sum.exchange += times * part.exchange;
  sum.logits += times * part.logits;
  sum.weight_bytes += times * part.weight_bytes;
  sum.cache_bytes += times * part.cache_bytes;
}

PlanPrediction Total(const PlanPrediction& shared,
                     absl::Span<const MoeLayerKind> kinds) {
  PlanPrediction total = shared;
  for (const MoeLayerKind& kind : kinds) {
    Add(kind.choices[kind.chosen].cost.prediction,
        static_cast<int64_t>(kind.layers.size()), total);
  }
  return total;
}

// Makes the change that costs the least time for each byte it saves; false if
// nothing saves any.
bool SaveMemory(std::vector<MoeLayerKind>& kinds) {
  MoeLayerKind* best_kind = nullptr;
  size_t best_choice = 0;
  double best_price = std::numeric_limits<double>::infinity();
  for (MoeLayerKind& kind : kinds) {
    const PlanPrediction& now = kind.choices[kind.chosen].cost.prediction;
    for (size_t i = 0; i < kind.choices.size(); ++i) {
      const PlanPrediction& other = kind.choices[i].cost.prediction;
      const int64_t saved = now.weight_bytes - other.weight_bytes;
      if (saved <= 0) continue;
      const double price = absl::ToDoubleSeconds(other.total() - now.total()) /
                           static_cast<double>(saved);
      if (price < best_price) {
        best_price = price;
        best_kind = &kind;
        best_choice = i;
      }
    }
  }
  if (best_kind == nullptr) return false;
  best_kind->chosen = best_choice;
  return true;
}

}  // namespace

absl::StatusOr<std::vector<MoeLayerKind>> GroupMoeLayers(
    const ModelConfig& config, const ParallelOptions& options) {
  RETURN_IF_ERROR(CheckDegree("expert degree", options.expert_degree));
  RETURN_IF_ERROR(CheckDegree("slice degree", options.slice_degree));
  std::map<int, MoeDegreesOption> by_layer;
  for (const MoeDegreesOption& option : options.layers) {
    RETURN_IF_ERROR(CheckLayerOption(config, option));
    if (!by_layer.emplace(option.layer, option).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "layer ", option.layer, ": degrees are given more than once"));
    }
  }
  std::vector<MoeLayerKind> kinds;
  for (int layer = 0; layer < config.num_layers(); ++layer) {
    if (!config.is_moe_layer(layer)) continue;
    const auto it = by_layer.find(layer);
    const MoeDegreesOption fixed =
        it != by_layer.end() ? it->second
                             : MoeDegreesOption{layer, options.expert_degree,
                                                options.slice_degree};
    auto kind = std::find_if(
        kinds.begin(), kinds.end(), [&](const MoeLayerKind& known) {
          return config.layers[known.layers[0]].moe() ==
                     config.layers[layer].moe() &&
                 known.fixed_expert_degree == fixed.expert_degree &&
                 known.fixed_slice_degree == fixed.slice_degree;
        });
    if (kind == kinds.end()) {
      kind = kinds.emplace(kinds.end());
      kind->num_experts = static_cast<int>(config.num_experts(layer));
      kind->fixed_expert_degree = fixed.expert_degree;
      kind->fixed_slice_degree = fixed.slice_degree;
    }
    kind->layers.push_back(layer);
  }
  if (kinds.empty() &&
      (options.expert_degree > 1 || options.slice_degree > 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expert degree ", options.expert_degree, " and slice degree ",
        options.slice_degree, " are given, but the model has no MoE layers"));
  }
  return kinds;
}

absl::Status CheckTensorDegree(const ModelConfig& config, int world_size,
                               int tensor_degree) {
  RETURN_IF_ERROR(
      ParallelLayout::Create(world_size, tensor_degree, {}).status());
  const auto refuse = [&](int64_t number, absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor degree ", tensor_degree, " does not ",
                     "divide the ", number, what));
  };
  for (const LayerConfig& layer : config.layers) {
    const int64_t heads = layer.attention.num_heads;
    const int64_t kv_heads = layer.attention.num_kv_heads;
    const int64_t ffn = layer.any_mlp().ffn_hidden_size;
    if (heads % tensor_degree != 0) return refuse(heads, " attention heads");
    if (kv_heads % tensor_degree != 0 && tensor_degree % kv_heads != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor degree ", tensor_degree, " neither divides the ", kv_heads,
          " heads of keys and values nor is a multiple"));
    }
    if (ffn % tensor_degree != 0)
      return refuse(ffn, " features inside the MLP");
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorDegreeChoice> ChooseMoeDegrees(
    const ModelConfig& config, const ParallelOptions& options,
    const Topology& topology, const ExchangeCosts& costs,
    const RankResources& rank, int tensor_degree,
    absl::Span<const MoeLayerKind> kinds) {
  const ParallelCost cost(config, topology, costs, rank, tensor_degree);
  TensorDegreeChoice choice;
  choice.tensor_degree = tensor_degree;
  choice.kinds.assign(kinds.begin(), kinds.end());
  for (MoeLayerKind& kind : choice.kinds) {
    RETURN_IF_ERROR(
        ListChoices(config, options, topology, cost, tensor_degree, kind));
  }
  const PlanPrediction shared = cost.Shared().prediction;
  choice.prediction = Total(shared, choice.kinds);
  choice.fastest_bytes =
      choice.prediction.weight_bytes + choice.prediction.cache_bytes;
  if (rank.memory_bytes == 0) return choice;
  const auto is_over = [&] {
    return choice.prediction.weight_bytes + choice.prediction.cache_bytes >
           rank.memory_bytes;
  };
  while (is_over()) {
    choice.limited_by_memory = true;
    if (!SaveMemory(choice.kinds)) {
      choice.fits = false;
      break;
    }
    choice.prediction = Total(shared, choice.kinds);
  }
  return choice;
}

}  // namespace moe

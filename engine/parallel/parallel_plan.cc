#include "engine/parallel/parallel_plan.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/parallel/parallel_search.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// How many other degrees are named beside those chosen.
constexpr size_t kMaxAlternatives = 3;

absl::Status CheckInputs(const ParallelOptions& options,
                         const ExchangeCosts& costs,
                         const RankResources& rank) {
  if (options.tensor_degree < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor degree is ", options.tensor_degree,
                     ", must be positive (0: chosen)"));
  }
  if (!(costs.in_node.bytes_per_second > 0) ||
      !(costs.across.bytes_per_second > 0) ||
      !(costs.copy_bytes_per_second > 0) || !(costs.imbalance >= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "exchange costs: bytes per second in the node ",
        costs.in_node.bytes_per_second, ", across ",
        costs.across.bytes_per_second, ", copying ",
        costs.copy_bytes_per_second, " must be positive, imbalance ",
        costs.imbalance, " at least 1"));
  }
  if (!(rank.read_bytes_per_second > 0) || !(rank.flops_per_second > 0) ||
      rank.decode_batch < 1 || rank.memory_bytes < 0 || rank.cache_tokens < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rank resources: reading ", rank.read_bytes_per_second,
        " bytes and computing ", rank.flops_per_second,
        " operations per second and a batch of ", rank.decode_batch,
        " must be positive, memory of ", rank.memory_bytes, " bytes and ",
        rank.cache_tokens, " tokens not negative"));
  }
  return absl::OkStatus();
}

std::string Milliseconds(absl::Duration time) {
  const double ms = absl::ToDoubleMilliseconds(time);
  return absl::StrFormat(ms < 1 ? "%.3f ms" : "%.2f ms", ms);
}

std::string Bytes(int64_t bytes) {
  if (bytes >= 1e9) return absl::StrFormat("%.2f GB", bytes * 1e-9);
  return absl::StrFormat("%.1f MB", bytes * 1e-6);
}

std::string Plural(int64_t count, absl::string_view noun,
                   absl::string_view plural) {
  return absl::StrCat(count, " ", count == 1 ? noun : plural);
}

int64_t MemoryOf(const TensorDegreeChoice& choice) {
  return choice.prediction.weight_bytes + choice.prediction.cache_bytes;
}

// "layers 1, 3, 5".
std::string LayersText(const MoeLayerKind& kind) {
  return absl::StrCat(kind.layers.size() == 1 ? "layer " : "layers ",
                      absl::StrJoin(kind.layers, ", "));
}

std::string DegreesText(const MoeLayerChoice& choice, int world) {
  const int copies = world / (choice.expert_degree * choice.slice_degree);
  return absl::StrCat("expert degree ", choice.expert_degree, ", slice degree ",
                      choice.slice_degree, ", ",
                      Plural(copies, "copy", "copies"));
}

std::string TensorText(const TensorDegreeChoice& best, bool is_fixed,
                       const RankResources& rank) {
  const PlanPrediction& p = best.prediction;
  return absl::StrCat(
      "tensor degree ", best.tensor_degree, is_fixed ? " (configured)" : "",
      ": a decode step of ", Plural(rank.decode_batch, "sequence", "sequences"),
      " is predicted to take ", Milliseconds(p.total()), " (weights ",
      Milliseconds(p.weights), ", sums over slices ", Milliseconds(p.reduce),
      ", exchange of tokens ", Milliseconds(p.exchange), ", logits ",
      Milliseconds(p.logits), ")");
}

// What speaks against another tensor degree than `best`.
std::string AlternativeText(const TensorDegreeChoice& other,
                            const TensorDegreeChoice& best,
                            const RankResources& rank) {
  const std::string degree =
      absl::StrCat("tensor degree ", other.tensor_degree);
  if (!other.fits) {
    return absl::StrCat(degree, " does not fit: a rank would need ",
                        Bytes(MemoryOf(other)), " and has ",
                        Bytes(rank.memory_bytes));
  }
  return absl::StrCat(degree, " would take ",
                      Milliseconds(other.prediction.total()),
                      other.prediction.total() < best.prediction.total()
                          ? ", which counts as equal"
                          : "");
}

// Of the choices, by rising tensor degree, that fit and are about as fast as
// the fastest: the smallest degree (which changes the rounding). Null if none
// fits.
const TensorDegreeChoice* PreferredDegree(
    const std::vector<TensorDegreeChoice>& choices) {
  absl::Duration fastest = absl::InfiniteDuration();
  for (const TensorDegreeChoice& choice : choices) {
    if (choice.fits) fastest = std::min(fastest, choice.prediction.total());
  }
  for (const TensorDegreeChoice& choice : choices) {
    if (choice.fits && choice.prediction.total() <= kSameTime * fastest) {
      return &choice;
    }
  }
  return nullptr;
}

std::string KindText(const MoeLayerKind& kind, int world) {
  const MoeLayerChoice& chosen = kind.choices[kind.chosen];
  const PlanPrediction& p = chosen.cost.prediction;
  const bool is_fixed =
      kind.fixed_expert_degree > 0 && kind.fixed_slice_degree > 0;
  std::string text = absl::StrCat(
      LayersText(kind), " with ", Plural(kind.num_experts, "expert", "experts"),
      ": ", DegreesText(chosen, world), is_fixed ? " (configured)" : "",
      ": a rank holds ",
      chosen.slice_degree > 1 || kind.num_experts % chosen.expert_degree != 0
          ? "up to "
          : "",
      chosen.slice_degree > 1 ? absl::StrCat("1/", chosen.slice_degree, " of ")
                              : "",
      Plural(chosen.cost.local_experts, "expert", "experts"), " (",
      Bytes(p.weight_bytes), "); predicted ", Milliseconds(p.total()),
      " a layer");
  if (chosen.expert_degree > 1) {
    absl::StrAppend(&text, ", exchange ",
                    ExchangeKindName(chosen.cost.exchange));
  }
  size_t named = 0;
  for (size_t i = 0; i < kind.choices.size() && named < kMaxAlternatives; ++i) {
    if (i == kind.chosen) continue;
    const MoeLayerChoice& other = kind.choices[i];
    absl::StrAppend(&text, named == 0 ? "; instead of " : "; ",
                    DegreesText(other, world), " ",
                    Milliseconds(other.cost.prediction.total()),
                    i == kind.preferred ? " (does not fit the memory)" : "");
    ++named;
  }
  return text;
}

std::string MemoryText(const TensorDegreeChoice& best,
                       const RankResources& rank) {
  const PlanPrediction& p = best.prediction;
  std::string text = absl::StrCat("a rank holds up to ", Bytes(p.weight_bytes),
                                  " of weights and at least ",
                                  Bytes(p.cache_bytes), " of keys and values");
  if (rank.memory_bytes > 0) {
    absl::StrAppend(&text, ", of ", Bytes(rank.memory_bytes), " it can use");
  }
  if (best.limited_by_memory) {
    absl::StrAppend(&text, "; the fastest layout would need ",
                    Bytes(best.fastest_bytes));
  }
  return text;
}

std::string WorldText(const Topology& topology) {
  return absl::StrCat(Plural(topology.world_size(), "rank", "ranks"), " on ",
                      topology.ToString());
}

absl::Status NothingFits(const std::vector<TensorDegreeChoice>& choices,
                         const Topology& topology, const RankResources& rank) {
  const TensorDegreeChoice& leanest = *std::min_element(
      choices.begin(), choices.end(),
      [](const auto& a, const auto& b) { return MemoryOf(a) < MemoryOf(b); });
  std::string degrees = absl::StrCat("tensor degree ", leanest.tensor_degree);
  for (const MoeLayerKind& kind : leanest.kinds) {
    absl::StrAppend(
        &degrees, "; ", LayersText(kind), ": ",
        DegreesText(kind.choices[kind.chosen], topology.world_size()));
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "the model does not fit ", WorldText(topology), ": the leanest layout (",
      degrees, ") needs ", Bytes(leanest.prediction.weight_bytes),
      " of weights and ", Bytes(leanest.prediction.cache_bytes),
      " of keys and values on a rank, which has ", Bytes(rank.memory_bytes),
      "; use more ranks or nodes, a smaller weight type or a shorter context"));
}

}  // namespace

absl::StatusOr<ParallelPlan> PlanParallel(const ModelConfig& config,
                                          const ParallelOptions& options,
                                          const Topology& topology,
                                          const ExchangeCosts& costs,
                                          const RankResources& rank) {
  RETURN_IF_ERROR(CheckInputs(options, costs, rank));
  ASSIGN_OR_RETURN(const std::vector<MoeLayerKind> kinds,
                   GroupMoeLayers(config, options));
  const int world = topology.world_size();
  ParallelOptions allowed = options;
  if (world == 1) allowed.exchange.reset();  // nobody to exchange with

  std::vector<TensorDegreeChoice> choices;
  std::vector<std::string> refused;
  absl::Status refusal;
  for (int degree = 1; degree <= world; ++degree) {
    if (options.tensor_degree > 0 ? degree != options.tensor_degree
                                  : world % degree != 0) {
      continue;
    }
    absl::Status status = CheckTensorDegree(config, world, degree);
    if (status.ok()) {
      absl::StatusOr<TensorDegreeChoice> choice = ChooseMoeDegrees(
          config, allowed, topology, costs, rank, degree, kinds);
      if (choice.ok()) choices.push_back(*std::move(choice));
      status = choice.status();
    }
    if (!status.ok()) {
      refusal.Update(status);
      // Tensor degrees may have the same against them.
      const std::string reason(status.message());
      if (!absl::c_linear_search(refused, reason)) refused.push_back(reason);
    }
  }
  if (options.tensor_degree > world) {
    return CheckTensorDegree(config, world, options.tensor_degree);
  }
  if (choices.empty()) {
    if (refused.size() == 1) return refusal;
    return absl::InvalidArgumentError(
        absl::StrCat("no tensor degree is possible on ", WorldText(topology),
                     ": ", absl::StrJoin(refused, "; ")));
  }

  const TensorDegreeChoice* best = PreferredDegree(choices);
  if (best == nullptr) return NothingFits(choices, topology, rank);

  ParallelPlan plan;
  plan.prediction = best->prediction;
  plan.why.push_back(TensorText(*best, options.tensor_degree > 0, rank));
  std::vector<std::string> others;
  for (const TensorDegreeChoice& choice : choices) {
    if (&choice != best) others.push_back(AlternativeText(choice, *best, rank));
  }
  others.insert(others.end(), refused.begin(), refused.end());
  if (!others.empty()) plan.why.push_back(absl::StrJoin(others, "; "));
  for (const MoeLayerKind& kind : best->kinds) {
    const MoeLayerChoice& chosen = kind.choices[kind.chosen];
    for (const int layer : kind.layers) {
      plan.moe_layers.push_back(
          {layer, kind.num_experts, chosen.expert_degree, chosen.slice_degree,
           config.layers[layer].moe().mlp.ffn_hidden_size});
    }
    plan.why.push_back(KindText(kind, world));
  }
  plan.why.push_back(MemoryText(*best, rank));
  std::sort(plan.moe_layers.begin(), plan.moe_layers.end(),
            [](const auto& a, const auto& b) { return a.layer < b.layer; });
  ASSIGN_OR_RETURN(
      plan.layout,
      ParallelLayout::Create(world, best->tensor_degree, plan.moe_layers));
  return plan;
}

}  // namespace moe

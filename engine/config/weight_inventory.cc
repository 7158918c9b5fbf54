#include "engine/config/weight_inventory.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace moe {
namespace {

using Kind = WeightKind;
using Partition = WeightPartition;

// Collects the weights of one layer (-1: outside the layers), or of one of its
// experts.
class WeightList {
 public:
  WeightList(std::vector<WeightSpec>& weights, int64_t layer,
             int64_t expert = -1)
      : weights_(weights), layer_(layer), expert_(expert) {
    if (expert >= 0) {
      prefix_ = ExpertPrefix(layer, expert);
    } else if (layer >= 0) {
      prefix_ = LayerPrefix(layer);
    }
  }

  WeightSpec& Add(absl::string_view name, std::vector<int64_t> dims, Kind kind,
                  Partition partition) {
    return weights_.emplace_back(WeightSpec{absl::StrCat(prefix_, name),
                                            std::move(dims), kind, partition,
                                            layer_, expert_});
  }

  void AddNorm(absl::string_view name, const NormConfig& norm, int64_t hidden) {
    Add(absl::StrCat(name, ".weight"), {hidden}, Kind::kVector,
        Partition::kReplicated);
    if (norm.kind != NormKind::kLayerNorm) return;
    Add(absl::StrCat(name, ".bias"), {hidden}, Kind::kVector,
        Partition::kReplicated);
  }

  // A linear layer that is partitioned by its outputs, like its bias
  // (column-parallel).
  void AddRowLinear(absl::string_view name, int64_t out, int64_t in,
                    bool has_bias, Partition partition) {
    Add(absl::StrCat(name, ".weight"), {out, in}, Kind::kMatrix, partition);
    if (!has_bias) return;
    Add(absl::StrCat(name, ".bias"), {out}, Kind::kVector, partition);
  }

  // A linear layer that is partitioned by its inputs; one rank adds the bias
  // (row-parallel).
  void AddColumnLinear(absl::string_view name, int64_t out, int64_t in,
                       bool has_bias, Partition partition) {
    Add(absl::StrCat(name, ".weight"), {out, in}, Kind::kMatrix, partition);
    if (!has_bias) return;
    Add(absl::StrCat(name, ".bias"), {out}, Kind::kVector,
        Partition::kFirstRank);
  }

  // `prefix`: "mlp." or "".
  void AddMlp(absl::string_view prefix, const MlpConfig& mlp, int64_t hidden) {
    AddRowLinear(absl::StrCat(prefix, "up"), mlp.up_rows(), hidden,
                 mlp.has_bias, Partition::kFeatureRows);
    AddColumnLinear(absl::StrCat(prefix, "down"), hidden, mlp.ffn_hidden_size,
                    mlp.has_bias, Partition::kFeatureColumns);
  }

 private:
  std::vector<WeightSpec>& weights_;
  const int64_t layer_;
  const int64_t expert_;
  std::string prefix_;
};

LayerWeights WeightsOf(const LayerConfig& config, int64_t layer,
                       int64_t hidden) {
  LayerWeights weights;
  const AttentionConfig& a = config.attention;
  WeightList attention(weights.attention, layer);
  attention.AddNorm("attention_norm", config.attention_norm, hidden);
  attention.AddRowLinear("attention.qkv", a.qkv_rows(), hidden, a.has_bias,
                         Partition::kQkvRows);
  attention.AddColumnLinear("attention.out", hidden, a.query_rows(), a.has_bias,
                            Partition::kHeadColumns);
  WeightList mlp(weights.mlp, layer);
  mlp.AddNorm("mlp_norm", config.mlp_norm, hidden);
  if (config.has_shared_mlp()) mlp.AddMlp("mlp.", config.any_mlp(), hidden);
  if (!config.is_moe()) return weights;

  const MoeConfig& moe = config.moe();
  WeightList gate(weights.gate, layer);
  gate.Add("moe.gate.weight", {moe.num_experts, hidden}, Kind::kF32Matrix,
           Partition::kReplicated);
  if (moe.has_residual_mlp()) {
    gate.Add("moe.coefficient.weight", {2, hidden}, Kind::kF32Matrix,
             Partition::kReplicated);
    // Files of variant A have none, even if they are read as variant B.
    if (moe.residual != ResidualMoeKind::kA) {
      gate.Add("moe.coefficient.bias", {2}, Kind::kVector,
               Partition::kReplicated)
          .is_optional = true;
    }
  }
  WeightList(weights.expert, layer, /*expert=*/0).AddMlp("", moe.mlp, hidden);
  weights.num_experts = moe.num_experts;
  return weights;
}

// `weight` of expert 0, renamed for expert `expert`.
WeightSpec OfExpert(WeightSpec weight, int64_t expert) {
  const std::string zero = ExpertPrefix(weight.layer, 0);
  weight.name = absl::StrCat(ExpertPrefix(weight.layer, expert),
                             absl::StripPrefix(weight.name, zero));
  weight.expert = expert;
  return weight;
}

// Removes "<prefix><number>." from the start of `name`.
bool ConsumeIndex(absl::string_view prefix, absl::string_view* name,
                  int64_t* index) {
  if (!absl::ConsumePrefix(name, prefix)) return false;
  const size_t dot = name->find('.');
  if (dot == absl::string_view::npos ||
      !absl::SimpleAtoi(name->substr(0, dot), index)) {
    return false;
  }
  name->remove_prefix(dot + 1);
  return true;
}

const WeightSpec* FindIn(const std::vector<WeightSpec>& weights,
                         absl::string_view name) {
  for (const WeightSpec& weight : weights) {
    if (weight.name == name) return &weight;
  }
  return nullptr;
}

}  // namespace

int64_t WeightSpec::num_elements() const {
  int64_t count = 1;
  for (const int64_t dim : dims) count *= dim;
  return count;
}

std::string LayerPrefix(int64_t layer) {
  return absl::StrCat("layers.", layer, ".");
}

std::string ExpertPrefix(int64_t layer, int64_t expert) {
  return absl::StrCat("layers.", layer, ".experts.", expert, ".");
}

WeightInventory::WeightInventory(const ModelConfig& config) {
  const int64_t hidden = config.hidden_size;
  WeightList before(before_, /*layer=*/-1);
  before.Add("embedding.weight", {config.padded_vocab_size, hidden},
             Kind::kTable, Partition::kVocabularyRows);
  if (config.learned_positions) {
    before.Add("position_embedding.weight", {config.max_positions, hidden},
               Kind::kTable, Partition::kReplicated);
  }
  for (int64_t layer = 0; layer < config.num_layers(); ++layer) {
    layers_.push_back(WeightsOf(config.layers[layer], layer, hidden));
  }
  WeightList after(after_, /*layer=*/-1);
  after.AddNorm("final_norm", config.final_norm, hidden);
  if (!config.tied_embeddings) {
    after.Add("output.weight", {config.padded_vocab_size, hidden},
              Kind::kMatrix, Partition::kVocabularyRows);
  }
}

const WeightSpec& WeightInventory::output() const {
  const WeightSpec* untied = FindIn(after_, "output.weight");
  return untied != nullptr ? *untied : before_[0];
}

std::optional<WeightSpec> WeightInventory::Find(absl::string_view name) const {
  absl::string_view rest = name;
  int64_t layer = -1, expert = -1;
  if (!ConsumeIndex("layers.", &rest, &layer)) {
    const WeightSpec* found = FindIn(before_, name);
    if (found == nullptr) found = FindIn(after_, name);
    return found != nullptr ? std::make_optional(*found) : std::nullopt;
  }
  if (layer < 0 || layer >= static_cast<int64_t>(layers_.size())) {
    return std::nullopt;
  }
  const LayerWeights& weights = layers_[layer];
  if (ConsumeIndex("experts.", &rest, &expert)) {
    const WeightSpec* found =
        FindIn(weights.expert, absl::StrCat(ExpertPrefix(layer, 0), rest));
    if (found == nullptr || expert < 0 || expert >= weights.num_experts) {
      return std::nullopt;
    }
    return OfExpert(*found, expert);
  }
  for (const auto* part : {&weights.attention, &weights.mlp, &weights.gate}) {
    const WeightSpec* found = FindIn(*part, name);
    if (found != nullptr) return *found;
  }
  return std::nullopt;
}

std::vector<WeightSpec> WeightInventory::All() const {
  std::vector<WeightSpec> all = before_;
  for (const LayerWeights& layer : layers_) {
    for (const auto* part : {&layer.attention, &layer.mlp, &layer.gate}) {
      all.insert(all.end(), part->begin(), part->end());
    }
    for (int64_t expert = 0; expert < layer.num_experts; ++expert) {
      for (const WeightSpec& weight : layer.expert) {
        all.push_back(OfExpert(weight, expert));
      }
    }
  }
  all.insert(all.end(), after_.begin(), after_.end());
  return all;
}

}  // namespace moe

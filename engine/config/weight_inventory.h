#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/config/model_config.h"

namespace moe {

// What a rank keeps a weight as.
enum class WeightKind {
  kMatrix,     // packed, in the type chosen for weights
  kF32Matrix,  // packed, f32: gates and coefficients
  kTable,      // rows that are looked up, in the type chosen for weights
  kVector,     // f32
};

// Which part of a weight each rank has: of the tensor ranks, or, for a weight
// of an expert, of the slice ranks of that expert.
enum class WeightPartition {
  kReplicated,      // all of it
  kVocabularyRows,  // rows of its vocabulary; the last rank has the padding too
  kQkvRows,         // rows of its heads among the queries, keys and values
  kHeadColumns,     // columns of its heads: a sum over ranks follows
  kFeatureRows,  // rows of its features inside a MLP; both halves of SwiGLU's
  kFeatureColumns,  // columns of its features: a sum over ranks follows
  kFirstRank,       // all on the first rank, as such a sum has its bias once
};

// A weight of a model.
struct WeightSpec {
  std::string name;  // canonical, see engine/checkpoint/checkpoint.h
  std::vector<int64_t> dims;
  WeightKind kind = WeightKind::kMatrix;
  WeightPartition partition = WeightPartition::kReplicated;
  int64_t layer = -1;   // -1: of no layer
  int64_t expert = -1;  // -1: of no expert
  // Files may lack it; then it is zero.
  bool is_optional = false;

  int64_t num_elements() const;
};

// The weights of one decoder layer, in order.
struct LayerWeights {
  std::vector<WeightSpec> attention;  // and its norm
  std::vector<WeightSpec> mlp;        // its norm, and a dense or residual MLP
  std::vector<WeightSpec> gate;       // and the coefficients; first the gate
  // Of expert 0; every expert has the same. Empty for a dense layer.
  std::vector<WeightSpec> expert;
  int64_t num_experts = 0;
};

// Which weights a model has, their shapes, what they are kept as, and how they
// are partitioned over ranks: the one place that knows. Counts, costs, shards,
// readers and writers of checkpoints derive from it. Immutable.
class WeightInventory {
 public:
  explicit WeightInventory(const ModelConfig& config);

  // Before the first layer (embeddings), and behind the last.
  const std::vector<WeightSpec>& before_layers() const { return before_; }
  const std::vector<LayerWeights>& layers() const { return layers_; }
  const std::vector<WeightSpec>& after_layers() const { return after_; }

  // The matrix that makes logits: "output.weight", or the embedding's if tied,
  // of which a rank then has a packed copy too.
  const WeightSpec& output() const;

  // The weight of that name; nullopt if the model has none.
  std::optional<WeightSpec> Find(absl::string_view name) const;

  // Every weight, with those of each expert, in order.
  std::vector<WeightSpec> All() const;

  // Calls `visit` with each weight, an expert's for expert 0 alone, and with
  // how many experts have it (1: it is no expert's).
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const WeightSpec& weight : before_) visit(weight, int64_t{1});
    for (const LayerWeights& layer : layers_) {
      for (const auto* part : {&layer.attention, &layer.mlp, &layer.gate}) {
        for (const WeightSpec& weight : *part) visit(weight, int64_t{1});
      }
      for (const WeightSpec& weight : layer.expert) {
        visit(weight, layer.num_experts);
      }
    }
    for (const WeightSpec& weight : after_) visit(weight, int64_t{1});
  }

 private:
  std::vector<WeightSpec> before_;
  std::vector<LayerWeights> layers_;
  std::vector<WeightSpec> after_;
};

// "layers.3."
std::string LayerPrefix(int64_t layer);
// "layers.3.experts.7."
std::string ExpertPrefix(int64_t layer, int64_t expert);

}  // namespace moe

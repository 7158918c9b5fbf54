#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/config/model_config.h"

namespace moe {

// The form in which a rank stores a weight.
enum class WeightKind {
  kMatrix,     // packed, in the weight dtype
  kF32Matrix,  // packed, f32: gates and coefficients
  kTable,      // looked up by row, in the weight dtype
  kVector,     // f32
};

// How a weight is partitioned over the tensor ranks, or, for a weight of an
// expert, over the slice ranks of that expert.
enum class WeightPartition {
  kReplicated,      // all of it
  kVocabularyRows,  // vocabulary rows; the last rank has the padding too
  kQkvRows,         // rows of its heads among the queries, keys and values
  kHeadColumns,     // columns of its heads; an all-reduce follows
  kFeatureRows,  // rows of its features inside a MLP; both halves of SwiGLU's
  kFeatureColumns,  // columns of its features; an all-reduce follows
  kFirstRank,       // all on the first rank: a bias before an all-reduce
};

// A weight of a model.
struct WeightSpec {
  std::string name;  // canonical, see engine/checkpoint/checkpoint.h
  std::vector<int64_t> dims;
  WeightKind kind = WeightKind::kMatrix;
  WeightPartition partition = WeightPartition::kReplicated;
  int64_t layer = -1;   // -1: none
  int64_t expert = -1;  // -1: none
  // Files may lack it; it is then zero.
  bool is_optional = false;

  int64_t num_elements() const;
};

// The weights of one decoder layer, in order.
struct LayerWeights {
  std::vector<WeightSpec> attention;  // and its norm
  std::vector<WeightSpec> mlp;        // its norm, and a dense or residual MLP
  std::vector<WeightSpec> gate;       // and the coefficients; first the gate
  // Of expert 0; the other experts have the same weights. Empty for a dense
  // layer.
  std::vector<WeightSpec> expert;
  int64_t num_experts = 0;
};

// Lists the weights of a model, their shapes, how they are stored, and how they
// are partitioned over ranks. Counts, costs, shards, and readers and writers of
// checkpoints derive from it. Immutable.
class WeightInventory {
 public:
  explicit WeightInventory(const ModelConfig& config);

  // Before the first layer (embeddings), and after the last.
  const std::vector<WeightSpec>& before_layers() const { return before_; }
  const std::vector<LayerWeights>& layers() const { return layers_; }
  const std::vector<WeightSpec>& after_layers() const { return after_; }

  // The matrix of the output head: "output.weight", or the embedding's if tied,
  // of which a rank then stores a packed copy too.
  const WeightSpec& output() const;

  // The weight of that name; nullopt if the model has none.
  std::optional<WeightSpec> Find(absl::string_view name) const;

  // All weights, including those of each expert, in order.
  std::vector<WeightSpec> All() const;

  // Calls `visit` with each weight and the number of experts that have it:
  // expert weights only for expert 0; 1 for other weights.
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

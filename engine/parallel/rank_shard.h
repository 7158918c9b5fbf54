#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/config/index_range.h"
#include "engine/config/model_config.h"
#include "engine/config/weight_inventory.h"
#include "engine/config/weight_slice.h"
#include "engine/parallel/parallel_layout.h"

namespace moe {

// What one rank holds of the experts of one MoE layer: num_experts experts from
// first_expert on, of each of them slice slice_rank of slice_degree. A rank may
// hold none.
struct ExpertShard {
  int first_expert = 0;
  int num_experts = 0;
  int slice_rank = 0;
  int slice_degree = 1;

  // The features inside an expert that this slice has.
  IndexRange Ffn(const MlpConfig& expert) const {
    return PartitionRange(expert.ffn_hidden_size, slice_rank, slice_degree);
  }
  // Biases of products whose terms are spread over the slices are added once,
  // by this one.
  bool adds_bias() const { return slice_rank == 0; }
};

// What one rank holds of a model: its share of attention heads, of the features
// inside dense and residual MLPs and of the vocabulary, cut over the tensor
// ranks, and its experts. Norms, gates, coefficients and learned positions are
// whole on every rank. A value. The ranges are of the configuration that it was
// made for.
struct RankShard {
  int tensor_rank = 0;
  int tensor_degree = 1;
  // [num_layers]; num_experts is 0 for dense layers.
  std::vector<ExpertShard> experts;

  // The rank that has it all.
  static RankShard Whole(const ModelConfig& config);

  // Of world rank `rank`. The i-th MoE layer of `config` has the i-th placement
  // of `layout`. kInvalidArgument, naming layer and numbers, unless
  //   the MoE layers and their experts are those of the layout,
  //   the tensor degree divides heads and feed-forward features, and divides
  //     the key/value heads or is a multiple of them (then each is held by
  //     several ranks),
  //   no tensor rank is without vocabulary,
  //   the slice degrees divide the features of their experts.
  static absl::StatusOr<RankShard> Of(const ModelConfig& config,
                                      const ParallelLayout& layout, int rank);

  // What Of checks of the tensor degree alone.
  static absl::Status CheckTensorDegree(const ModelConfig& config,
                                        int tensor_degree);

  // The entries of the vocabulary whose embedding and logits a tensor rank has.
  // They need not divide.
  static IndexRange VocabRange(const ModelConfig& config, int tensor_rank,
                               int tensor_degree) {
    return PartitionRange(config.vocab_size, tensor_rank, tensor_degree);
  }

  IndexRange Heads(const AttentionConfig& attention) const;
  IndexRange KvHeads(const AttentionConfig& attention) const;
  // Of a dense or residual MLP.
  IndexRange Ffn(const MlpConfig& mlp) const;
  IndexRange Vocab(const ModelConfig& config) const {
    return VocabRange(config, tensor_rank, tensor_degree);
  }
  // Biases and residuals of products whose terms are spread over the tensor
  // ranks are added once, by this one.
  bool adds_bias() const { return tensor_rank == 0; }

  // The part of `weight`, one of the inventory of `config`, that this rank has;
  // a slice that is `whole()` is all of it. nullopt: it has nothing of it. Does
  // not ask whether the weight's expert is one of this rank's.
  std::optional<WeightSlice> SliceOf(const ModelConfig& config,
                                     const WeightSpec& weight) const;

  // An attention with the heads and key/value heads of this rank.
  AttentionConfig LocalAttention(const AttentionConfig& attention) const;

  // `config` with the heads, key/value heads and features of dense MLPs of this
  // rank: what its attention, KV cache, dense MLPs and their scratch memory are
  // made for. All else, layers' experts too, is left as it is.
  ModelConfig LocalConfig(const ModelConfig& config) const;

  // Weights that this rank holds.
  int64_t CountParameters(const ModelConfig& config) const;
};

}  // namespace moe

#include "engine/parallel/rank_shard.h"

#include <variant>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::StatusOr<ExpertShard> ShardOfLayer(const ModelConfig& config,
                                         int64_t layer,
                                         const ExpertPlacement& placement,
                                         int rank) {
  const int64_t experts = config.num_experts(layer);
  if (placement.num_experts() != experts) {
    return Invalid("parallel layout: layer ", layer, " has ", experts,
                   " experts, the layout places ", placement.num_experts());
  }
  const int64_t ffn = config.layers[layer].moe().mlp.ffn_hidden_size;
  if (ffn % placement.slice_degree() != 0) {
    return Invalid("parallel layout: layer ", layer, ": slice degree ",
                   placement.slice_degree(), " does not divide the ", ffn,
                   " features inside an expert (ffn_hidden_size)");
  }
  const int expert_rank = placement.expert_rank(rank);
  ExpertShard shard;
  shard.first_expert = placement.ExpertsBegin(expert_rank);
  shard.num_experts = placement.NumExpertsOn(expert_rank);
  shard.slice_rank = placement.slice_rank(rank);
  shard.slice_degree = placement.slice_degree();
  return shard;
}

}  // namespace

RankShard RankShard::Whole(const ModelConfig& config) {
  RankShard shard;
  for (int64_t layer = 0; layer < config.num_layers(); ++layer) {
    shard.experts.push_back(
        {.num_experts = static_cast<int>(config.num_experts(layer))});
  }
  return shard;
}

absl::Status RankShard::CheckTensorDegree(const ModelConfig& config,
                                          int tensor_degree) {
  const int64_t degree = tensor_degree;
  if (degree < 1) return Invalid("tensor degree is ", degree, ", at least 1");
  for (const LayerConfig& layer : config.layers) {
    const int64_t heads = layer.attention.num_heads;
    const int64_t kv_heads = layer.attention.num_kv_heads;
    const int64_t ffn = layer.any_mlp().ffn_hidden_size;
    if (heads % degree != 0) {
      return Invalid("tensor degree ", degree, " does not divide the ", heads,
                     " attention heads (num_heads): choose a divisor of them");
    }
    if (kv_heads % degree != 0 && degree % kv_heads != 0) {
      return Invalid("tensor degree ", degree, " and the ", kv_heads,
                     " key/value heads (num_kv_heads): one must divide the "
                     "other");
    }
    if (ffn % degree != 0) {
      return Invalid("tensor degree ", degree, " does not divide the ", ffn,
                     " features inside a MLP (ffn_hidden_size)");
    }
  }
  if (config.vocab_size < degree) {
    return Invalid("tensor degree ", degree, " is more than the ",
                   config.vocab_size, " entries of the vocabulary");
  }
  return absl::OkStatus();
}

absl::StatusOr<RankShard> RankShard::Of(const ModelConfig& config,
                                        const ParallelLayout& layout,
                                        int rank) {
  if (rank < 0 || rank >= layout.world_size()) {
    return Invalid("parallel layout: rank ", rank, " is outside [0, ",
                   layout.world_size(), ")");
  }
  RETURN_IF_ERROR(CheckTensorDegree(config, layout.tensor_degree()));
  RankShard shard = Whole(config);
  shard.tensor_rank = layout.tensor_rank(rank);
  shard.tensor_degree = layout.tensor_degree();
  int num_moe_layers = 0;
  for (int64_t layer = 0; layer < config.num_layers(); ++layer) {
    if (!config.is_moe_layer(layer)) continue;
    if (num_moe_layers < layout.num_moe_layers()) {
      ASSIGN_OR_RETURN(
          shard.experts[layer],
          ShardOfLayer(config, layer, layout.placement(num_moe_layers), rank));
    }
    ++num_moe_layers;
  }
  if (num_moe_layers != layout.num_moe_layers()) {
    return Invalid("parallel layout: the model has ", num_moe_layers,
                   " layers with experts, the layout ",
                   layout.num_moe_layers());
  }
  return shard;
}

IndexRange RankShard::Heads(const AttentionConfig& attention) const {
  return PartitionRange(attention.num_heads, tensor_rank, tensor_degree);
}

IndexRange RankShard::KvHeads(const AttentionConfig& attention) const {
  const int64_t heads = attention.num_kv_heads;
  if (heads >= tensor_degree) return PartitionRange(heads, tensor_rank, tensor_degree);
  // Of fewer heads each is held by as many ranks as use it.
  const int64_t head = tensor_rank * heads / tensor_degree;
  return {head, head + 1};
}

IndexRange RankShard::Ffn(const MlpConfig& mlp) const {
  return PartitionRange(mlp.ffn_hidden_size, tensor_rank, tensor_degree);
}

ModelConfig RankShard::LocalConfig(const ModelConfig& config) const {
  ModelConfig local = config;
  for (LayerConfig& layer : local.layers) {
    AttentionConfig& attention = layer.attention;
    const int64_t kv_heads = KvHeads(attention).size();
    attention.num_heads = Heads(attention).size();
    attention.num_kv_heads = kv_heads;
    if (auto* mlp = std::get_if<MlpConfig>(&layer.mlp)) {
      mlp->ffn_hidden_size = Ffn(*mlp).size();
    }
  }
  return local;
}

int64_t RankShard::CountParameters(const ModelConfig& config) const {
  const int64_t hidden = config.hidden_size;
  const auto norm = [&](const NormConfig& c) {
    return hidden * (c.kind == NormKind::kLayerNorm ? 2 : 1);
  };
  // A product cut along its terms has its bias on one rank alone.
  const auto mlp = [&](const MlpConfig& c, const IndexRange& ffn,
                       bool adds_bias) {
    const int64_t halves = c.is_gated() ? 2 : 1, bias = c.has_bias ? 1 : 0;
    return ffn.size() * (halves * (hidden + bias) + hidden) +
           (adds_bias ? hidden * bias : 0);
  };
  // The last rank has the rows that pad the vocabulary, too.
  int64_t vocab = Vocab(config).size();
  if (tensor_rank == tensor_degree - 1) {
    vocab += config.padded_vocab_size - config.vocab_size;
  }
  int64_t count = vocab * hidden * (config.tied_embeddings ? 1 : 2) +
                  norm(config.final_norm);
  if (config.learned_positions) count += config.max_positions * hidden;
  for (int64_t l = 0; l < config.num_layers(); ++l) {
    const LayerConfig& layer = config.layers[l];
    const AttentionConfig& a = layer.attention;
    const int64_t bias = a.has_bias ? 1 : 0;
    const int64_t q_rows = Heads(a).size() * a.head_dim;
    const int64_t kv_rows = 2 * KvHeads(a).size() * a.head_dim;
    count += (q_rows + kv_rows) * (hidden + bias) + q_rows * hidden +
             (adds_bias() ? hidden * bias : 0);
    count += norm(layer.attention_norm) + norm(layer.mlp_norm);
    const MlpConfig& m = layer.any_mlp();
    if (layer.has_shared_mlp()) count += mlp(m, Ffn(m), adds_bias());
    if (!layer.is_moe()) continue;
    const MoeConfig& moe = layer.moe();
    count += moe.num_experts * hidden;  // gate
    if (moe.has_residual_mlp()) {
      count += 2 * (hidden + (moe.residual != ResidualMoeKind::kA ? 1 : 0));
    }
    const ExpertShard& shard = experts[l];
    count += shard.num_experts * mlp(m, shard.Ffn(m), shard.adds_bias());
  }
  return count;
}

}  // namespace moe

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

std::optional<WeightSlice> RankShard::SliceOf(const ModelConfig& config,
                                              const WeightSpec& weight) const {
  const bool of_expert = weight.expert >= 0;
  const int rank = of_expert ? experts[weight.layer].slice_rank : tensor_rank;
  const int degree =
      of_expert ? experts[weight.layer].slice_degree : tensor_degree;
  WeightSlice slice;
  if (degree == 1) return slice;
  const auto attention = [&]() -> const AttentionConfig& {
    return config.layers[weight.layer].attention;
  };
  const auto heads_to_rows = [&](int64_t begin, const IndexRange& heads) {
    return IndexRange{begin + heads.begin * attention().head_dim,
                      begin + heads.end * attention().head_dim};
  };
  const auto features = [&]() -> IndexRange {
    const MlpConfig& mlp = config.layers[weight.layer].any_mlp();
    return PartitionRange(mlp.ffn_hidden_size, rank, degree);
  };
  switch (weight.partition) {
    case WeightPartition::kReplicated:
      break;
    case WeightPartition::kFirstRank:
      if (rank != 0) return std::nullopt;
      break;
    case WeightPartition::kVocabularyRows: {
      IndexRange rows = Vocab(config);
      // The last rank has the rows that pad the vocabulary, too.
      if (rank == degree - 1) rows.end = weight.dims[0];
      slice.rows = {rows};
      break;
    }
    case WeightPartition::kQkvRows: {
      const int64_t queries = attention().query_rows();
      const int64_t keys = attention().kv_rows();
      const IndexRange kv_heads = KvHeads(attention());
      slice.rows = {heads_to_rows(0, Heads(attention())),
                    heads_to_rows(queries, kv_heads),
                    heads_to_rows(queries + keys, kv_heads)};
      break;
    }
    case WeightPartition::kHeadColumns:
      slice.columns = heads_to_rows(0, Heads(attention()));
      break;
    case WeightPartition::kFeatureRows: {
      const MlpConfig& mlp = config.layers[weight.layer].any_mlp();
      const IndexRange own = features();
      slice.rows = {own};
      // Of the other half the same features.
      if (mlp.is_gated()) {
        slice.rows.push_back(
            {mlp.ffn_hidden_size + own.begin, mlp.ffn_hidden_size + own.end});
      }
      break;
    }
    case WeightPartition::kFeatureColumns:
      slice.columns = features();
      break;
  }
  return slice;
}

AttentionConfig RankShard::LocalAttention(
    const AttentionConfig& attention) const {
  AttentionConfig local = attention;
  local.num_heads = Heads(attention).size();
  local.num_kv_heads = KvHeads(attention).size();
  return local;
}

ModelConfig RankShard::LocalConfig(const ModelConfig& config) const {
  ModelConfig local = config;
  for (LayerConfig& layer : local.layers) {
    layer.attention = LocalAttention(layer.attention);
    if (auto* mlp = std::get_if<MlpConfig>(&layer.mlp)) {
      mlp->ffn_hidden_size = Ffn(*mlp).size();
    }
  }
  return local;
}

int64_t RankShard::CountParameters(const ModelConfig& config) const {
  int64_t count = 0;
  WeightInventory(config).ForEach([&](const WeightSpec& weight, int64_t) {
    const std::optional<WeightSlice> slice = SliceOf(config, weight);
    if (!slice.has_value()) return;
    const int64_t copies =
        weight.expert < 0 ? 1 : experts[weight.layer].num_experts;
    count += copies * slice->NumElements(weight.dims);
  });
  return count;
}

}  // namespace moe

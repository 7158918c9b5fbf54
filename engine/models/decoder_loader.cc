#include "engine/models/decoder_loader.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "comm/host_communicator.h"
#include "engine/config/weight_inventory.h"
#include "engine/models/checksum_exchange.h"
#include "engine/models/decoder.h"
#include "engine/models/weight_loader.h"
#include "engine/moe/expert_parallel/moe_dispatchers.h"
#include "engine/parallel/process_groups.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

absl::StatusOr<Attention> LoadAttention(WeightLoader& loader,
                                        const AttentionConfig& config,
                                        const std::string& prefix,
                                        const RopeTables* rope) {
  ASSIGN_OR_RETURN(LinearWeights qkv,
                   loader.Linear(absl::StrCat(prefix, "attention.qkv")));
  ASSIGN_OR_RETURN(LinearWeights out,
                   loader.Linear(absl::StrCat(prefix, "attention.out")));
  return Attention(loader.shard().LocalAttention(config), std::move(qkv),
                   std::move(out), rope);
}

absl::StatusOr<ResidualMlp> LoadResidualMlp(WeightLoader& loader,
                                            ResidualMoeKind kind,
                                            const std::string& prefix) {
  ResidualMlp residual;
  residual.kind = kind;
  ASSIGN_OR_RETURN(residual.mlp, loader.Mlp(absl::StrCat(prefix, "mlp")));
  // B1 adds the branches whatever its coefficients are.
  if (kind == ResidualMoeKind::kB1) return residual;
  ASSIGN_OR_RETURN(residual.coefficient,
                   loader.Linear(absl::StrCat(prefix, "moe.coefficient")));
  return residual;
}

absl::StatusOr<OutputHead> LoadHead(WeightLoader& loader) {
  ASSIGN_OR_RETURN(Norm norm,
                   loader.LoadNorm("final_norm", loader.config().final_norm));
  LinearWeights weight;
  ASSIGN_OR_RETURN(weight.weight, loader.OutputMatrix());
  return OutputHead(std::move(norm), std::move(weight));
}

absl::StatusOr<TokenEmbedding> LoadEmbedding(WeightLoader& loader) {
  ASSIGN_OR_RETURN(Tensor table, loader.Table("embedding.weight"));
  ASSIGN_OR_RETURN(Tensor positions, loader.Table("position_embedding.weight"));
  std::optional<IndexRange> part;
  if (loader.shard().tensor_degree > 1) {
    part = loader.shard().Vocab(loader.config());
  }
  return TokenEmbedding(std::move(table), std::move(positions), part);
}

// Loads one rank's part of a decoder. Used once.
class DecoderLoader {
 public:
  // All borrowed; options.parallel may be null.
  DecoderLoader(const Checkpoint& checkpoint, const ModelOptions& options,
                const RankShard& shard, Stream& stream,
                absl::FunctionRef<void(int64_t, int64_t)> progress)
      : parallel_(options.parallel),
        stream_(stream),
        shard_(shard),
        config_(checkpoint.config()),
        loader_(checkpoint, shard, options.weight_dtype, stream, progress) {}

  absl::StatusOr<DecoderWeights> Load() {
    ASSIGN_OR_RETURN(TokenEmbedding embedding, LoadEmbedding(loader_));
    dispatchers_ = MoeDispatchers::Local(config_);
    if (parallel_ != nullptr) {
      ASSIGN_OR_RETURN(dispatchers_,
                       MoeDispatchers::Create(config_, *parallel_->groups,
                                              parallel_->exchange));
    }
    std::vector<DecoderLayer> layers;
    for (int64_t layer = 0; layer < config_.num_layers(); ++layer) {
      ASSIGN_OR_RETURN(DecoderLayer loaded, LoadLayer(layer));
      layers.push_back(std::move(loaded));
    }
    ASSIGN_OR_RETURN(OutputHead head, LoadHead(loader_));
    if (parallel_ != nullptr && parallel_->loading != nullptr) {
      RETURN_IF_ERROR(parallel_->loading->Barrier());
    }
    RETURN_IF_ERROR(CompareAllChecksums());
    return DecoderWeights{std::move(embedding),    std::move(ropes_),
                          std::move(dispatchers_), std::move(layers),
                          std::move(head),         loader_.packed_bytes()};
  }

 private:
  // Null: this rank has the sums whole.
  Communicator* tensor_group() const {
    return shard_.tensor_degree > 1 ? &parallel_->groups->tensor() : nullptr;
  }

  // The tables that layers which rotate alike share; null: nothing is rotated.
  absl::StatusOr<const RopeTables*> FindRope(const AttentionConfig& config) {
    if (!config.rope.has_value()) return nullptr;
    for (size_t i = 0; i < ropes_.size(); ++i) {
      if (rope_configs_[i] == *config.rope) return ropes_[i].get();
    }
    auto tables = std::make_unique<RopeTables>();
    ASSIGN_OR_RETURN(
        *tables,
        RopeTables::Create(*config.rope, config_.max_positions, stream_));
    rope_configs_.push_back(*config.rope);
    return ropes_.emplace_back(std::move(tables)).get();
  }

  absl::StatusOr<DecoderLayer> LoadLayer(int64_t layer) {
    const std::string prefix = LayerPrefix(layer);
    const LayerConfig& config = config_.layers[layer];
    ASSIGN_OR_RETURN(Norm attention_norm,
                     loader_.LoadNorm(absl::StrCat(prefix, "attention_norm"),
                                      config.attention_norm));
    ASSIGN_OR_RETURN(const RopeTables* rope, FindRope(config.attention));
    ASSIGN_OR_RETURN(Attention attention,
                     LoadAttention(loader_, config.attention, prefix, rope));
    ASSIGN_OR_RETURN(
        Norm mlp_norm,
        loader_.LoadNorm(absl::StrCat(prefix, "mlp_norm"), config.mlp_norm));
    std::optional<MlpWeights> mlp;
    std::optional<MoeLayer> moe;
    if (config_.is_moe_layer(layer)) {
      ASSIGN_OR_RETURN(moe, LoadMoeLayer(layer, prefix));
      ++num_moe_layers_;
    } else {
      ASSIGN_OR_RETURN(mlp, loader_.Mlp(absl::StrCat(prefix, "mlp")));
    }
    return DecoderLayer{std::move(attention_norm), std::move(attention),
                        std::move(mlp_norm), std::move(mlp), std::move(moe)};
  }

  absl::StatusOr<MoeLayer> LoadMoeLayer(int64_t layer,
                                        const std::string& prefix) {
    const MoeConfig& config = config_.layers[layer].moe();
    ASSIGN_OR_RETURN(WeightMatrix gate,
                     loader_.Matrix(absl::StrCat(prefix, "moe.gate.weight")));
    ASSIGN_OR_RETURN(std::vector<MlpWeights> experts,
                     LoadExperts(layer, prefix));
    std::optional<ResidualMlp> residual;
    if (config.has_residual_mlp()) {
      ASSIGN_OR_RETURN(residual,
                       LoadResidualMlp(loader_, config.residual, prefix));
    }
    return MoeLayer(config, Gate(config, std::move(gate)),
                    Experts(std::move(experts)), std::move(residual),
                    dispatchers_.of_layer(layer), tensor_group());
  }

  absl::StatusOr<std::vector<MlpWeights>> LoadExperts(
      int64_t layer, const std::string& prefix) {
    const ExpertShard& shard = shard_.experts[layer];
    // Slices of experts are spread over another group than all else.
    const bool sliced = shard.slice_degree > 1;
    if (sliced) TakeChecksums(tensor_group());
    std::vector<MlpWeights> experts;
    for (int e = 0; e < shard.num_experts; ++e) {
      ASSIGN_OR_RETURN(MlpWeights expert,
                       loader_.Mlp(absl::StrCat(prefix, "experts.",
                                                shard.first_expert + e)));
      experts.push_back(std::move(expert));
    }
    if (sliced) {
      TakeChecksums(parallel_->groups->moe_layer(num_moe_layers_).slice);
    }
    return experts;
  }

  // What was read in part since the last call is spread over `group`.
  void TakeChecksums(Communicator* group) {
    const std::vector<PartialChecksum> taken =
        loader_.checkpoint().TakePartialChecksums();
    if (group == nullptr) return;
    auto found =
        std::find_if(checksums_.begin(), checksums_.end(),
                     [&](const auto& entry) { return entry.first == group; });
    // All ranks of a group come here in the same order, with or without sums.
    if (found == checksums_.end()) {
      found = checksums_.insert(found, {group, {}});
    }
    found->second.insert(found->second.end(), taken.begin(), taken.end());
  }

  absl::Status CompareAllChecksums() {
    TakeChecksums(tensor_group());
    for (const auto& [group, sums] : checksums_) {
      RETURN_IF_ERROR(
          CompareChecksums(loader_.checkpoint(), sums, group->host()));
    }
    return absl::OkStatus();
  }

  const ModelParallel* const parallel_;
  Stream& stream_;
  const RankShard& shard_;
  const ModelConfig& config_;
  WeightLoader loader_;
  std::vector<std::unique_ptr<RopeTables>> ropes_;
  std::vector<RopeConfig> rope_configs_;  // of each of `ropes_`
  MoeDispatchers dispatchers_;
  int num_moe_layers_ = 0;  // loaded so far
  std::vector<std::pair<Communicator*, std::vector<PartialChecksum>>>
      checksums_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadDecoder(
    const Checkpoint& checkpoint, const ModelOptions& options, Stream& stream,
    absl::FunctionRef<void(int64_t, int64_t)> progress) {
  const ModelConfig& config = checkpoint.config();
  const RankShard shard = options.parallel != nullptr
                              ? options.parallel->shard
                              : RankShard::Whole(config);
  ASSIGN_OR_RETURN(
      DecoderWeights weights,
      DecoderLoader(checkpoint, options, shard, stream, progress).Load());
  return Decoder::Create(config, std::move(weights), options, shard, stream);
}

}  // namespace moe

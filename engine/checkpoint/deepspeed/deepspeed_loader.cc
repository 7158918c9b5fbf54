#include "engine/checkpoint/deepspeed/deepspeed_loader.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/checkpoint/deepspeed/deepspeed_directory.h"
#include "engine/checkpoint/deepspeed/deepspeed_files.h"
#include "engine/checkpoint/deepspeed/megatron_config.h"
#include "engine/checkpoint/deepspeed/replica_check.h"
#include "engine/config/weight_inventory.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr size_t kMaxReplicaWarnings = 20;

std::string Shape(const std::vector<int64_t>& dims) {
  return absl::StrCat("[", absl::StrJoin(dims, ", "), "]");
}

// Finds the parts of each weight of the configuration among the tensors.
class WeightFinder {
 public:
  WeightFinder(const DeepSpeedDirectory& directory,
               const CheckpointOptions& options, DeepSpeedTensors& tensors,
               DeepSpeedContents& contents)
      : directory_(directory),
        options_(options),
        tensors_(tensors),
        contents_(contents) {}

  absl::Status FindAll() {
    RETURN_IF_ERROR(CheckExperts());
    for (const WeightSpec& spec : WeightInventory(contents_.config).All()) {
      RETURN_IF_ERROR(FindWeight(spec));
    }
    RETURN_IF_ERROR(CheckNothingIsLeft());
    CompareReplicas();
    return replica_error_;
  }

 private:
  int64_t num_ranks() const {
    return static_cast<int64_t>(tensors_.dense.size());
  }

  // Check this before allocating memory by the number of experts of a gate.
  absl::Status CheckExperts() {
    const ModelConfig& config = contents_.config;
    for (int64_t layer = 0; layer < config.num_layers(); ++layer) {
      const int64_t experts = config.num_experts(layer);
      for (int64_t expert = 0; expert < experts; ++expert) {
        if (tensors_.expert_ids.count({layer, expert}) > 0) continue;
        return absl::NotFoundError(absl::StrCat(
            directory_.path, ": expert ", expert, " of the ", experts,
            " of layer ", layer, " is missing: it is in none of the ",
            directory_.expert_files.size(), " expert files (looked for ",
            "layer_*_expert_", expert, "_mp_rank_*_model_states.pt)",
            directory_.is_universal
                ? ". It is a universal checkpoint (it has a directory zero), "
                  "which has none of them: give the checkpoint that it was "
                  "converted from"
                : ""));
      }
    }
    for (const auto& [layer, expert] : tensors_.expert_ids) {
      const int64_t experts =
          layer < config.num_layers() ? config.num_experts(layer) : 0;
      if (expert < experts) continue;
      return absl::DataLossError(absl::StrCat(
          directory_.path, ": there is an expert ", expert, " of layer ", layer,
          ", but the model has ", experts, " experts there"));
    }
    return absl::OkStatus();
  }

  absl::Status FindWeight(const WeightSpec& spec) {
    if (spec.expert >= 0) return FindExpert(spec);
    WeightSource source;
    source.dims = spec.dims;
    if (tensors_.dense[0].count(spec.name) == 0) {
      const size_t qkv = spec.name.find("attention.qkv.");
      if (qkv != std::string::npos &&
          tensors_.dense[0].count(SplitName(spec.name, "query")) > 0) {
        return FindSeparateQkv(spec);
      }
      if (spec.is_optional) return absl::OkStatus();
    }
    RETURN_IF_ERROR(AddDenseParts(spec, spec.name, source));
    contents_.weights.emplace(spec.name, std::move(source));
    return absl::OkStatus();
  }

  // "layers.0.attention.qkv.bias" -> "layers.0.attention.query.bias".
  static std::string SplitName(std::string name, const std::string& part) {
    return name.replace(name.find("qkv"), 3, part);
  }

  absl::Status FindSeparateQkv(const WeightSpec& spec) {
    const FusedRows& fused = contents_.fused;
    WeightSource source;
    WeightSpec query = spec, key_value = spec;
    query.dims[0] = fused.num_heads * fused.head_dim;
    key_value.dims[0] = 2 * fused.num_kv_heads * fused.head_dim;
    query.name = SplitName(spec.name, "query");
    key_value.name = SplitName(spec.name, "key_value");
    RETURN_IF_ERROR(AddDenseParts(query, query.name, source));
    RETURN_IF_ERROR(AddDenseParts(key_value, key_value.name, source));
    source.dims = spec.dims;
    contents_.weights.emplace(spec.name, std::move(source));
    return absl::OkStatus();
  }

  absl::Status AddDenseParts(const WeightSpec& spec, const std::string& name,
                             WeightSource& source) {
    std::vector<WeightPart> parts;
    for (int64_t rank = 0; rank < num_ranks(); ++rank) {
      const auto found = tensors_.dense[rank].find(name);
      if (found == tensors_.dense[rank].end()) {
        return absl::NotFoundError(
            absl::StrCat(directory_.mp_rank_paths[rank], ": the weight ", name,
                         " ", Shape(spec.dims), " is missing"));
      }
      parts.push_back(found->second);
      used_.insert(name);
    }
    return AddParts(spec, std::move(parts), source);
  }

  absl::Status FindExpert(const WeightSpec& spec) {
    const auto found = tensors_.experts.find(spec.name);
    if (found == tensors_.experts.end()) {
      return absl::NotFoundError(
          absl::StrCat(directory_.path, ": the weight ", spec.name, " ",
                       Shape(spec.dims), " is in none of the expert files"));
    }
    std::vector<WeightPart> parts;
    for (const auto& [rank, part] : found->second) parts.push_back(part);
    used_.insert(spec.name);
    WeightSource source;
    source.dims = spec.dims;
    RETURN_IF_ERROR(AddParts(spec, std::move(parts), source));
    contents_.weights.emplace(spec.name, std::move(source));
    return absl::OkStatus();
  }

  // `parts` are copies of the whole weight, or its slices, one of each rank.
  absl::Status AddParts(const WeightSpec& spec, std::vector<WeightPart> parts,
                        WeightSource& source) {
    const WeightPart& first = parts[0];
    std::vector<int64_t> slice = spec.dims;
    const size_t axis = first.split == WeightSplit::kColumns ? 1 : 0;
    if (first.split != WeightSplit::kReplicated && axis < slice.size() &&
        slice[axis] % num_ranks() == 0) {
      slice[axis] /= num_ranks();
    }
    const bool is_slice =
        num_ranks() > 1 && first.info().dims == slice && slice != spec.dims;
    const std::vector<int64_t>& expected = is_slice ? slice : spec.dims;
    for (const WeightPart& part : parts) {
      if (part.info().dims != expected) {
        return absl::DataLossError(absl::StrCat(
            part.file->path(), ": the weight ", spec.name, " is ",
            Shape(part.info().dims), ", should be ", Shape(spec.dims),
            num_ranks() > 1 ? absl::StrCat(" or, on each of ", num_ranks(),
                                           " tensor ranks, ", Shape(slice))
                            : ""));
      }
      const DType dtype = part.info().dtype;
      if (dtype != first.info().dtype ||
          (dtype != DType::kF32 && dtype != DType::kF16 &&
           dtype != DType::kBf16)) {
        return absl::DataLossError(
            absl::StrCat(part.file->path(), ": the weight ", spec.name, " is ",
                         DTypeName(dtype), ", should be ",
                         dtype == first.info().dtype
                             ? "f32, f16 or bf16"
                             : absl::StrCat(DTypeName(first.info().dtype),
                                            " as on another tensor rank")));
      }
      part.file->Announce(part.tensor, spec.name);
    }
    if (is_slice) {
      if (static_cast<int64_t>(parts.size()) != num_ranks()) {
        return absl::NotFoundError(absl::StrCat(
            parts[0].file->path(), ": the weight ", spec.name, " ",
            Shape(slice), " is one of ", num_ranks(), " slices of ",
            Shape(spec.dims), ", of which only ", parts.size(), " are there"));
      }
      source.ranks = num_ranks();
      source.parts.insert(source.parts.end(), parts.begin(), parts.end());
      return absl::OkStatus();
    }
    for (size_t i = 1; i < parts.size(); ++i) {
      replicas_.push_back({spec.name, parts[0], parts[i]});
    }
    WeightPart whole = parts[0];
    whole.rank = 0;
    source.parts.push_back(whole);
    return absl::OkStatus();
  }

  // The files must not contain weights that the arguments exclude.
  absl::Status CheckNothingIsLeft() const {
    for (int64_t rank = 0; rank < num_ranks(); ++rank) {
      for (const auto& [name, part] : tensors_.dense[rank]) {
        if (used_.count(name) > 0 ||
            absl::EndsWith(name, "moe.coefficient.bias")) {
          continue;
        }
        return Unexpected(name, part);
      }
    }
    for (const auto& [name, parts] : tensors_.experts) {
      if (used_.count(name) == 0) {
        return Unexpected(name, parts.begin()->second);
      }
    }
    return absl::OkStatus();
  }

  static absl::Status Unexpected(const std::string& name,
                                 const WeightPart& part) {
    return absl::InvalidArgumentError(
        absl::StrCat(part.file->path(), ": has the weight ", name, " ",
                     Shape(part.info().dims),
                     ", which the model should not have by its arguments"));
  }

  // This rank's part of them.
  void CompareReplicas() {
    size_t differing = 0;
    for (size_t i = static_cast<size_t>(options_.rank); i < replicas_.size();
         i += static_cast<size_t>(options_.num_ranks)) {
      const Replica& replica = replicas_[i];
      const absl::StatusOr<double> difference =
          MaxDifference(replica.a, replica.b, replica.name);
      if (!difference.ok()) {
        replica_error_ = difference.status();
        return;
      }
      if (*difference == 0 || ++differing > kMaxReplicaWarnings) continue;
      contents_.warnings.push_back(absl::StrCat(
          replica.b.file->path(), ": ", replica.name, " differs by up to ",
          *difference, " from the copy in ", replica.a.file->path(),
          ", which is used: the ranks trained it apart, so that the outputs of "
          "training cannot be reproduced"));
    }
    if (differing > kMaxReplicaWarnings) {
      contents_.warnings.push_back(absl::StrCat(directory_.path, ": ",
                                                differing - kMaxReplicaWarnings,
                                                " more copies differ"));
    }
  }

  struct Replica {
    std::string name;
    WeightPart a, b;
  };

  const DeepSpeedDirectory& directory_;
  const CheckpointOptions& options_;
  DeepSpeedTensors& tensors_;
  DeepSpeedContents& contents_;
  std::set<std::string> used_;
  std::vector<Replica> replicas_;
  absl::Status replica_error_;
};

MegatronModel DescribeModel(const DeepSpeedTensors& tensors) {
  MegatronModel model;
  model.root = &tensors.files[0]->root();
  model.source = tensors.files[0]->path();
  for (const auto& [name, part] : tensors.dense[0]) {
    model.dims[name] = part.info().dims;
  }
  model.tensor_degree = static_cast<int64_t>(tensors.dense.size());
  model.has_local_moe = tensors.has_local_moe;
  return model;
}

std::string Describe(const DeepSpeedDirectory& directory,
                     const MegatronModel& model, QkvLayout layout) {
  std::string text = absl::StrCat(
      "DeepSpeed, tag ", directory.tag, ", tensor degree ",
      directory.mp_rank_paths.size(), ", ", directory.expert_files.size(),
      " expert files, QKV rows ", QkvLayoutName(layout));
  const PickleValue* version = model.root->Find("ds_version");
  if (version != nullptr && version->is(PickleValue::Kind::kString)) {
    absl::StrAppend(&text, ", written by DeepSpeed ",
                    absl::CHexEscape(version->text.substr(0, 40)));
  }
  return text;
}

}  // namespace

absl::StatusOr<DeepSpeedContents> LoadDeepSpeedDirectory(
    const std::string& path, const CheckpointOptions& options) {
  if (options.num_ranks < 1 || options.rank < 0 ||
      options.rank >= options.num_ranks) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": opened by rank ", options.rank, " of ", options.num_ranks));
  }
  ASSIGN_OR_RETURN(const DeepSpeedDirectory directory,
                   FindDeepSpeedDirectory(path));
  ASSIGN_OR_RETURN(DeepSpeedTensors tensors, OpenDeepSpeedFiles(directory));
  const MegatronModel model = DescribeModel(tensors);
  DeepSpeedContents contents;
  contents.warnings = std::move(tensors.warnings);
  ASSIGN_OR_RETURN(contents.config,
                   ReadMegatronConfig(model, options, &contents.warnings));
  const ModelConfig& config = contents.config;
  // Megatron's arguments apply to all layers.
  const AttentionConfig& attention = config.layers[0].attention;
  contents.fused.num_heads = attention.num_heads;
  contents.fused.num_kv_heads = attention.num_kv_heads;
  contents.fused.head_dim = attention.head_dim;
  contents.fused.gated_mlp = config.layers[0].any_mlp().is_gated();
  ASSIGN_OR_RETURN(
      contents.fused.qkv_layout,
      ChooseQkvLayout(model, options.megatron, &contents.warnings));
  if (contents.fused.qkv_layout == QkvLayout::kVersion1 &&
      attention.num_kv_heads != attention.num_heads) {
    return absl::InvalidArgumentError(absl::StrCat(
        model.source,
        ": the QKV layout version_1 has no grouped-query form, "
        "but the model has ",
        attention.num_kv_heads, " key/value heads for ", attention.num_heads));
  }
  RETURN_IF_ERROR(
      WeightFinder(directory, options, tensors, contents).FindAll());
  contents.description = Describe(directory, model, contents.fused.qkv_layout);
  for (auto& file : tensors.files) contents.files.push_back(std::move(file));
  return contents;
}

}  // namespace moe

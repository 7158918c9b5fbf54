#include "engine/checkpoint/deepspeed/deepspeed_writer.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/checkpoint/deepspeed/megatron_keys.h"
#include "engine/checkpoint/deepspeed/qkv_layout.h"
#include "engine/checkpoint/torch/pickle_writer.h"
#include "engine/checkpoint/torch/zip_writer.h"
#include "engine/config/model_config_check.h"
#include "engine/config/parameter_count.h"
#include "engine/config/uniform_model_config.h"
#include "engine/config/weight_inventory.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

// Upper bound of metadata and alignment.
constexpr int64_t kBytesPerWeightOverhead = 1024;

// One weight with its key in the file.
struct KeyedWeight {
  std::string key;
  WeightSpec spec;
};

std::vector<std::string> Split(const std::string& key) {
  // "embedding.word_embeddings.weight" nests; keys of the encoder are flat.
  std::vector<std::string> path;
  absl::string_view rest = key;
  while (!absl::StartsWith(rest, "layers.") &&
         !absl::StartsWith(rest, "final_layernorm.")) {
    const size_t dot = rest.find('.');
    if (dot == absl::string_view::npos) break;
    path.emplace_back(rest.substr(0, dot));
    rest.remove_prefix(dot + 1);
  }
  path.emplace_back(rest);
  return path;
}

absl::string_view TorchDTypeName(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return "float16";
    case DType::kBf16:
      return "bfloat16";
    default:
      return "float32";
  }
}

class DeepSpeedWriter {
 public:
  DeepSpeedWriter(std::string directory, const ModelConfig& config,
                  WeightRowSource source, const DeepSpeedWriterOptions& options)
      : directory_(std::move(directory)),
        config_(config),
        source_(source),
        options_(options) {}

  absl::Status Write() {
    RETURN_IF_ERROR(CheckConfig());
    RETURN_IF_ERROR(PrepareDirectory());
    std::vector<KeyedWeight> dense;
    std::map<std::pair<int64_t, int64_t>, std::vector<KeyedWeight>> experts;
    for (WeightSpec& spec : WeightInventory(config_).All()) {
      MegatronKey parsed;
      const std::string key = KeyOf(spec.name, &parsed);
      if (key.empty()) {
        return absl::InternalError(absl::StrCat("no key for ", spec.name));
      }
      if (parsed.expert < 0) {
        dense.push_back({key, std::move(spec)});
      } else {
        experts[{parsed.layer, parsed.expert}].push_back(
            {key, std::move(spec)});
      }
    }
    RETURN_IF_ERROR(WriteDense(dense));
    int64_t ordinal = -1, last_layer = -1;
    for (const auto& [id, weights] : experts) {
      if (id.first != last_layer) ++ordinal;
      last_layer = id.first;
      RETURN_IF_ERROR(WriteExpert(ordinal, id.second, weights));
    }
    std::ofstream latest(directory_ + "/latest");
    latest << options_.tag;
    latest.close();
    if (!latest) {
      return absl::ResourceExhaustedError(
          absl::StrCat(directory_, "/latest: cannot write"));
    }
    return absl::OkStatus();
  }

 private:
  // "" if there is none that reads back as `name`.
  std::string KeyOf(const std::string& name, MegatronKey* parsed) const {
    const bool local_moe = config_.residual_moe() == ResidualMoeKind::kA;
    for (bool dense_layer : {true, false}) {
      std::string key = MegatronKeyOf(name, dense_layer, local_moe);
      if (!ParseMegatronKey(key, parsed) || parsed->name != name) return "";
      const bool is_dense =
          parsed->layer < 0 || !config_.is_moe_layer(parsed->layer);
      if (is_dense == dense_layer) return key;
    }
    return "";
  }

  absl::Status CheckConfig() {
    RETURN_IF_ERROR(ValidateModelConfig(config_));
    const auto uniform = UniformModelConfig::Of(config_);
    if (!uniform.has_value()) {
      return absl::InvalidArgumentError(
          "the layers differ in more than their experts: Megatron's arguments "
          "cannot say so");
    }
    uniform_ = *uniform;
    if (options_.dtype != DType::kF16 && options_.dtype != DType::kBf16 &&
        options_.dtype != DType::kF32) {
      return absl::InvalidArgumentError(absl::StrCat(
          "weights cannot be written as ", DTypeName(options_.dtype)));
    }
    const NormConfig& norm = uniform_.norm;
    if (norm.weight_plus_one && norm.kind == NormKind::kRmsNorm) {
      return absl::InvalidArgumentError(
          "norm_weight_plus_one: Megatron stores the weights of an RMSNorm as "
          "they are");
    }
    for (int64_t i = 0; i < config_.num_layers(); ++i) {
      if (!config_.is_moe_layer(i)) continue;
      if (interval_ == 0) interval_ = i + 1;
      experts_.push_back(config_.num_experts(i));
    }
    for (int64_t i = 0; interval_ != 0 && i < config_.num_layers(); ++i) {
      const bool is_moe = (i + 1) % interval_ == 0;
      if (is_moe != config_.is_moe_layer(i)) {
        return absl::InvalidArgumentError(
            absl::StrCat("layer ", i, " breaks the rule that every ", interval_,
                         "th layer is a MoE layer"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status PrepareDirectory() {
    tag_directory_ = absl::StrCat(directory_, "/", options_.tag);
    std::error_code error;
    fs::create_directories(tag_directory_, error);
    if (error) {
      return absl::PermissionDeniedError(
          absl::StrCat(tag_directory_, ": cannot create: ", error.message()));
    }
    const ParameterCount count = CountParameters(config_);
    const int64_t weights =
        static_cast<int64_t>(WeightInventory(config_).All().size());
    const int64_t needed =
        count.total * static_cast<int64_t>(SizeOf(options_.dtype)) +
        weights * kBytesPerWeightOverhead;
    const fs::space_info space = fs::space(tag_directory_, error);
    if (!error && space.available < static_cast<uint64_t>(needed)) {
      return absl::ResourceExhaustedError(
          absl::StrCat(directory_, ": the checkpoint needs ", needed,
                       " bytes, the disk has ", space.available, " left"));
    }
    return absl::OkStatus();
  }

  // Writes a torch.save file with that pickle and these weights; storage i is
  // weight i.
  absl::Status WriteFile(const std::string& name, const std::string& pickle,
                         const std::vector<KeyedWeight>& weights) {
    ASSIGN_OR_RETURN(
        std::unique_ptr<ZipWriter> zip,
        ZipWriter::Create(absl::StrCat(tag_directory_, "/", name, ".pt")));
    RETURN_IF_ERROR(zip->AddEntry(name + "/data.pkl", pickle));
    RETURN_IF_ERROR(zip->AddEntry(name + "/byteorder", "little"));
    for (size_t i = 0; i < weights.size(); ++i) {
      RETURN_IF_ERROR(
          WriteStorage(absl::StrCat(name, "/data/", i), weights[i].spec, *zip));
    }
    RETURN_IF_ERROR(zip->AddEntry(name + "/version", "3\n"));
    return zip->Close();
  }

  // The weight's rows in the order of the file.
  std::vector<int64_t> RowOrder(const WeightSpec& spec) const {
    if (spec.partition == WeightPartition::kQkvRows) {
      return QkvTargetRows(QkvLayout::kHeadInterleaved, uniform_.num_heads,
                           uniform_.num_kv_heads, uniform_.head_dim, 0, 1);
    }
    std::vector<int64_t> rows(static_cast<size_t>(spec.dims[0]));
    for (size_t r = 0; r < rows.size(); ++r) rows[r] = static_cast<int64_t>(r);
    return rows;
  }

  absl::Status WriteStorage(const std::string& entry, const WeightSpec& spec,
                            ZipWriter& zip) {
    const int64_t count = spec.num_elements();
    const std::vector<int64_t> order = RowOrder(spec);
    RETURN_IF_ERROR(zip.BeginEntry(
        entry, static_cast<uint64_t>(count) * SizeOf(options_.dtype)));
    std::vector<float> row;
    if (spec.dims.size() == 1) {
      std::vector<float> values(order.size());
      source_(spec.name, 0, absl::MakeSpan(values));
      for (int64_t r : order) row.push_back(values[r]);
      RETURN_IF_ERROR(zip.Append(Encode(row)));
      return zip.EndEntry();
    }
    row.resize(static_cast<size_t>(spec.dims[1]));
    for (int64_t r : order) {
      source_(spec.name, r, absl::MakeSpan(row));
      RETURN_IF_ERROR(zip.Append(Encode(row)));
    }
    return zip.EndEntry();
  }

  // Little endian, in the dtype of the file; valid until the next call.
  absl::string_view Encode(const std::vector<float>& values) {
    const size_t size = SizeOf(options_.dtype);
    encoded_.resize(values.size() * size);
    char* out = encoded_.data();
    for (float value : values) {
      uint32_t bits;
      std::memcpy(&bits, &value, sizeof(bits));
      if (options_.dtype == DType::kF16) bits = FloatToHalf(value);
      if (options_.dtype == DType::kBf16) bits = FloatToBf16(value);
      for (size_t i = 0; i < size; ++i) {
        *out++ = static_cast<char>(bits >> (8 * i));
      }
    }
    return encoded_;
  }

  absl::Status WriteExpert(int64_t ordinal, int64_t expert,
                           const std::vector<KeyedWeight>& weights) {
    PickleWriter pickle;
    pickle.BeginDict();
    for (size_t i = 0; i < weights.size(); ++i) {
      pickle.Key("language_model." + weights[i].key);
      pickle.Tensor(absl::StrCat(i), options_.dtype, weights[i].spec.dims);
    }
    pickle.EndDict();
    return WriteFile(absl::StrCat("layer_", ordinal, "_expert_", expert,
                                  "_mp_rank_00_model_states"),
                     pickle.Finish(), weights);
  }

  absl::Status WriteDense(const std::vector<KeyedWeight>& weights) {
    PickleWriter pickle;
    pickle.BeginDict();
    pickle.Key("module");
    pickle.BeginDict();
    pickle.Key("language_model");
    pickle.BeginDict();
    std::vector<std::string> open;  // dicts below language_model
    for (size_t i = 0; i < weights.size(); ++i) {
      std::vector<std::string> path = Split(weights[i].key);
      const std::string leaf = path.back();
      path.pop_back();
      size_t common = 0;
      while (common < std::min(open.size(), path.size()) &&
             open[common] == path[common]) {
        ++common;
      }
      for (; open.size() > common; open.pop_back()) pickle.EndDict();
      for (; open.size() < path.size(); open.push_back(path[open.size()])) {
        pickle.Key(path[open.size()]);
        pickle.BeginDict();
      }
      pickle.Key(leaf);
      pickle.Tensor(absl::StrCat(i), options_.dtype, weights[i].spec.dims);
    }
    for (; !open.empty(); open.pop_back()) pickle.EndDict();
    pickle.EndDict();
    pickle.EndDict();
    WriteMetadata(pickle);
    pickle.EndDict();
    return WriteFile("mp_rank_00_model_states", pickle.Finish(), weights);
  }

  void WriteMetadata(PickleWriter& pickle) const {
    pickle.Key("num_experts");
    pickle.IntList(experts_);
    pickle.Key("mp_world_size");
    pickle.Int(1);
    pickle.Key("checkpoint_version");
    pickle.Float(3.0);
    pickle.Key("iteration");
    pickle.Int(0);
    pickle.Key("universal_checkpoint_info");
    pickle.BeginDict();
    pickle.Key("original_vocab_size");
    pickle.Int(config_.vocab_size);
    pickle.Key("padded_vocab_size");
    pickle.Int(config_.padded_vocab_size);
    pickle.EndDict();
    pickle.Key("args");
    pickle.BeginNamespace();
    WriteArguments(pickle);
    pickle.EndNamespace();
  }

  void WriteArguments(PickleWriter& pickle) const {
    const UniformModelConfig& c = uniform_;
    const std::pair<const char*, int64_t> ints[] = {
        {"num_layers", c.num_layers},
        {"hidden_size", c.hidden_size},
        {"ffn_hidden_size", c.ffn_hidden_size},
        {"num_attention_heads", c.num_heads},
        {"num_key_value_heads", c.num_kv_heads},
        {"kv_channels", c.head_dim},
        {"max_position_embeddings", c.max_positions},
        {"seq_length", c.max_positions},
        {"padded_vocab_size", c.padded_vocab_size},
        {"expert_interval", std::max<int64_t>(interval_, 1)},
        {"topk", c.top_k},
        {"tensor_model_parallel_size", 1},
        {"pipeline_model_parallel_size", 1},
        {"moe_expert_parallel_size", 1},
    };
    for (const auto& [key, value] : ints) pickle.Key(key), pickle.Int(value);
    const ActivationKind activation = c.activation;
    const bool rotary = c.rope.has_value();
    const RopeConfig rope = c.rope.value_or(RopeConfig());
    const std::pair<const char*, bool> bools[] = {
        {"apply_layernorm_1p", c.norm.weight_plus_one},
        {"apply_residual_connection_post_layernorm", c.residual_post_norm},
        {"bias_gelu_fusion", activation == ActivationKind::kGeluTanh},
        {"openai_gelu", false},
        {"swiglu", activation == ActivationKind::kSwiGlu},
        {"squared_relu", activation == ActivationKind::kSquaredRelu},
        {"add_bias_linear", c.linear_bias},
        {"add_position_embedding", !rotary},
        {"use_rotary_position_embeddings", rotary},
        {"untie_embeddings_and_output_weights", !c.tied_embeddings},
        {"moe_token_dropping", false},
        {"enable_expert_tensor_parallelism", false},
        {"fp16", options_.dtype == DType::kF16},
        {"bf16", options_.dtype == DType::kBf16},
    };
    for (const auto& [key, value] : bools) pickle.Key(key), pickle.Bool(value);
    pickle.Key("num_experts");
    pickle.IntList(experts_.empty() ? std::vector<int64_t>{1} : experts_);
    pickle.Key("mlp_type");
    pickle.String(c.residual_moe == ResidualMoeKind::kNone ? "standard"
                                                           : "residual");
    pickle.Key("normalization");
    pickle.String(c.norm.kind == NormKind::kRmsNorm ? "rmsnorm" : "layernorm");
    // The shortest decimal, not the exact value of the float.
    pickle.Key("layernorm_epsilon");
    pickle.Float(std::stod(absl::StrCat(c.norm.epsilon)));
    pickle.Key("rope_theta");
    pickle.Float(rope.theta);
    pickle.Key("rotary_percent");
    pickle.Float(rotary ? static_cast<double>(rope.rotary_dim) /
                              static_cast<double>(c.head_dim)
                        : 1.0);
    pickle.Key("params_dtype");
    pickle.Global("torch", TorchDTypeName(options_.dtype));
  }

  const std::string directory_;
  const ModelConfig& config_;
  UniformModelConfig uniform_;  // `config_`, once it is checked
  const WeightRowSource source_;
  const DeepSpeedWriterOptions& options_;
  std::string tag_directory_;
  int64_t interval_ = 0;          // every n-th layer is MoE; 0: none is
  std::vector<int64_t> experts_;  // of the MoE layers
  std::string encoded_;
};

}  // namespace

absl::Status WriteDeepSpeedCheckpoint(const std::string& directory,
                                      const ModelConfig& config,
                                      WeightRowSource source,
                                      const DeepSpeedWriterOptions& options) {
  return DeepSpeedWriter(directory, config, source, options).Write();
}

}  // namespace moe

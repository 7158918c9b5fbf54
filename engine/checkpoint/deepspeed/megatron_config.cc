#include "engine/checkpoint/deepspeed/megatron_config.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/config/model_config_names.h"
#include "engine/config/uniform_model_config.h"
#include "engine/config/weight_inventory.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

using Kind = PickleValue::Kind;

bool IsGelu(ActivationKind kind) {
  return kind == ActivationKind::kGeluTanh || kind == ActivationKind::kGeluErf;
}

// Builds one ModelConfig, a group of fields at a time.
class ConfigReader {
 public:
  ConfigReader(const MegatronModel& model, const MegatronArguments& args,
               const CheckpointOptions& options,
               std::vector<std::string>* warnings)
      : model_(model), args_(args), options_(options), warnings_(warnings) {}

  absl::StatusOr<ModelConfig> Read() {
    RETURN_IF_ERROR(ReadSizes());
    RETURN_IF_ERROR(ReadVocabulary());
    RETURN_IF_ERROR(ReadAttention());
    RETURN_IF_ERROR(ReadNorm());
    RETURN_IF_ERROR(ReadActivation());
    RETURN_IF_ERROR(ReadPositions());
    RETURN_IF_ERROR(ReadExperts());
    RETURN_IF_ERROR(ReadResidual());
    const bool is_moe =
        std::any_of(c_.experts_per_layer.begin(), c_.experts_per_layer.end(),
                    [](int64_t experts) { return experts > 0; });
    c_.family = !is_moe                                     ? "gpt"
                : c_.residual_moe == ResidualMoeKind::kNone ? "gpt_moe"
                                                            : "pr_moe";
    if (absl::Status valid = c_.Validate(); !valid.ok()) {
      return absl::DataLossError(
          absl::StrCat(model_.source, ": ", valid.message()));
    }
    return static_cast<ModelConfig>(c_);
  }

 private:
  absl::Status Damaged(absl::string_view what) const {
    return absl::DataLossError(absl::StrCat(model_.source, ": ", what));
  }
  absl::Status Unsupported(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(model_.source, ": ", what));
  }

  const std::vector<int64_t>* Dims(const std::string& name) const {
    const auto found = model_.dims.find(name);
    return found == model_.dims.end() ? nullptr : &found->second;
  }

  absl::Status ReadSizes() {
    const std::vector<int64_t>* embedding = Dims("embedding.weight");
    if (embedding == nullptr || embedding->size() != 2) {
      return absl::NotFoundError(
          absl::StrCat(model_.source,
                       ": no embedding.word_embeddings.weight of two "
                       "dimensions: not a Megatron-DeepSpeed GPT"));
    }
    c_.hidden_size = (*embedding)[1];
    RETURN_IF_ERROR(CheckTensorDegree());
    if (__builtin_mul_overflow((*embedding)[0], model_.tensor_degree,
                               &c_.padded_vocab_size)) {
      return Damaged("the embedding has too many rows");
    }
    ASSIGN_OR_RETURN(const int64_t hidden,
                     args_.Int("hidden_size", c_.hidden_size));
    if (hidden != c_.hidden_size) {
      return Damaged(absl::StrCat("args.hidden_size is ", hidden,
                                  ", the embedding has rows of ",
                                  c_.hidden_size));
    }
    while (Dims(LayerPrefix(c_.num_layers) + "attention_norm.weight")) {
      ++c_.num_layers;
    }
    ASSIGN_OR_RETURN(const int64_t layers,
                     args_.Int("num_layers", c_.num_layers));
    if (layers != c_.num_layers) {
      return absl::NotFoundError(
          absl::StrCat(model_.source, ": args.num_layers is ", layers, ", but ",
                       LayerPrefix(c_.num_layers), "input_layernorm.weight is ",
                       layers < c_.num_layers ? "the last that it should have"
                                              : "missing from it"));
    }
    // A product of untrusted numbers: Validate() bounds hidden later.
    constexpr int64_t kMaxHidden = int64_t{1} << 28;
    if (c_.hidden_size > kMaxHidden) return Damaged("absurd hidden size");
    ASSIGN_OR_RETURN(c_.ffn_hidden_size,
                     args_.Int("ffn_hidden_size", 4 * c_.hidden_size));
    ASSIGN_OR_RETURN(
        c_.residual_post_norm,
        args_.Bool("apply_residual_connection_post_layernorm", false));
    ASSIGN_OR_RETURN(
        c_.linear_bias,
        args_.Bool("add_bias_linear",
                   Dims("layers.0.attention.out.bias") != nullptr));
    ASSIGN_OR_RETURN(const bool untied,
                     args_.Bool("untie_embeddings_and_output_weights",
                                Dims("output.weight") != nullptr));
    c_.tied_embeddings = !untied;
    return absl::OkStatus();
  }

  // Otherwise missing files of the last tensor ranks would look like a small
  // model.
  absl::Status CheckTensorDegree() {
    ASSIGN_OR_RETURN(
        const int64_t degree,
        args_.Int("tensor_model_parallel_size", model_.tensor_degree));
    if (degree == model_.tensor_degree) return absl::OkStatus();
    return absl::NotFoundError(absl::StrCat(
        model_.source, ": args.tensor_model_parallel_size is ", degree,
        ", but there are mp_rank files of ", model_.tensor_degree, " ranks"));
  }

  // Only code since 2023 writes the unpadded size.
  absl::Status ReadVocabulary() {
    ASSIGN_OR_RETURN(int64_t vocab,
                     args_.Int("vocab_size", c_.padded_vocab_size));
    ASSIGN_OR_RETURN(const std::string tokenizer,
                     args_.String("tokenizer_type", ""));
    // args.vocab_size of this tokenizer does not count its end-of-document.
    if (args_.Has("vocab_size") && tokenizer == "NullTokenizer" &&
        vocab < c_.padded_vocab_size) {
      ++vocab;
    }
    if (vocab < 1 || vocab > c_.padded_vocab_size) {
      warnings_->push_back(absl::StrCat(model_.source, ": args.vocab_size ",
                                        vocab, " is not in [1, ",
                                        c_.padded_vocab_size, "] and ignored"));
      vocab = c_.padded_vocab_size;
    }
    const PickleValue* info = model_.root->Find("universal_checkpoint_info");
    const PickleValue* original =
        info == nullptr ? nullptr : info->Find("original_vocab_size");
    if (original != nullptr && original->is(Kind::kInt)) {
      vocab = original->integer;
    }
    if (options_.vocab_size != 0) {
      if (options_.vocab_size < 1 ||
          options_.vocab_size > c_.padded_vocab_size) {
        if (!options_.vocab_size_source.empty()) {
          return Unsupported(absl::StrCat(
              options_.vocab_size_source, " has ", options_.vocab_size,
              " entries, but the embedding has ", c_.padded_vocab_size,
              " rows: it is not this model's"));
        }
        return Unsupported(absl::StrCat(
            "vocab_size is set to ", options_.vocab_size, ", must be in [1, ",
            c_.padded_vocab_size, "], the rows of the embedding"));
      }
      vocab = options_.vocab_size;
    }
    c_.vocab_size = vocab;
    return absl::OkStatus();
  }

  absl::Status ReadAttention() {
    if (!args_.Has("num_attention_heads")) {
      return Damaged("args.num_attention_heads is missing or None");
    }
    ASSIGN_OR_RETURN(c_.num_heads, args_.Int("num_attention_heads", 0));
    if (c_.num_heads < 1 || c_.num_heads > c_.hidden_size) {
      return Damaged(absl::StrCat("args.num_attention_heads is ", c_.num_heads,
                                  ", the hidden size ", c_.hidden_size));
    }
    ASSIGN_OR_RETURN(c_.num_kv_heads,
                     args_.Int("num_key_value_heads", c_.num_heads));
    ASSIGN_OR_RETURN(c_.head_dim,
                     args_.Int("kv_channels", c_.hidden_size / c_.num_heads));
    const int64_t degree = model_.tensor_degree;
    if (c_.num_heads % degree != 0 || c_.num_kv_heads % degree != 0) {
      return Damaged(absl::StrCat(c_.num_heads, " heads and ", c_.num_kv_heads,
                                  " key/value heads cannot be split over ",
                                  degree, " tensor ranks"));
    }
    return absl::OkStatus();
  }

  absl::Status ReadNorm() {
    ASSIGN_OR_RETURN(
        const std::string norm,
        args_.String("normalization",
                     Dims("final_norm.bias") ? "layernorm" : "rmsnorm"));
    if (norm == "rmsnorm") {
      c_.norm.kind = NormKind::kRmsNorm;
    } else if (norm != "layernorm") {
      return Unsupported(
          absl::StrCat("args.normalization '", norm, "' is not supported"));
    }
    ASSIGN_OR_RETURN(const double epsilon,
                     args_.Double("layernorm_epsilon", 1e-5));
    c_.norm.epsilon = static_cast<float>(epsilon);
    ASSIGN_OR_RETURN(const bool plus_one,
                     args_.Bool("apply_layernorm_1p", false));
    // Megatron's RMSNorm ignores the argument.
    c_.norm.weight_plus_one = plus_one && c_.norm.kind == NormKind::kLayerNorm;
    return absl::OkStatus();
  }

  absl::Status ReadActivation() {
    ASSIGN_OR_RETURN(const bool openai_gelu, args_.Bool("openai_gelu", false));
    ASSIGN_OR_RETURN(const bool onnx_safe, args_.Bool("onnx_safe", false));
    ASSIGN_OR_RETURN(const bool swiglu, args_.Bool("swiglu", false));
    ASSIGN_OR_RETURN(const bool squared_relu,
                     args_.Bool("squared_relu", false));
    ASSIGN_OR_RETURN(const bool fused_gelu,
                     args_.Bool("bias_gelu_fusion", true));
    // The order in which Megatron checks the arguments.
    if (openai_gelu) {
      c_.activation = ActivationKind::kGeluTanh;
    } else if (onnx_safe) {
      c_.activation = ActivationKind::kGeluErf;
    } else if (swiglu) {
      c_.activation = ActivationKind::kSwiGlu;
    } else if (squared_relu) {
      c_.activation = ActivationKind::kSquaredRelu;
    } else {
      c_.activation =
          fused_gelu ? ActivationKind::kGeluTanh : ActivationKind::kGeluErf;
    }
    const std::optional<ActivationKind>& asked = options_.megatron.activation;
    if (!asked.has_value()) return absl::OkStatus();
    if (!IsGelu(*asked)) {
      return Unsupported(absl::StrCat("activation is set to '",
                                      ActivationName(*asked),
                                      "', must be gelu_tanh or gelu_erf"));
    }
    if (!IsGelu(c_.activation)) {
      return Unsupported(absl::StrCat("activation is set to ",
                                      ActivationName(*asked),
                                      ", but the model has no GELU"));
    }
    c_.activation = *asked;
    return absl::OkStatus();
  }

  absl::Status ReadPositions() {
    const std::vector<int64_t>* learned = Dims("position_embedding.weight");
    ASSIGN_OR_RETURN(const bool rotary,
                     args_.Bool("use_rotary_position_embeddings", false));
    ASSIGN_OR_RETURN(const int64_t sequence, args_.Int("seq_length", 0));
    ASSIGN_OR_RETURN(c_.max_positions,
                     args_.Int("max_position_embeddings", sequence));
    if (options_.megatron.rope_double_cos_quirk && !rotary) {
      return Unsupported(
          "rope_double_cos_quirk is set, but positions are not rotary");
    }
    if (!rotary) {
      if (learned == nullptr || learned->empty()) {
        return absl::NotFoundError(
            absl::StrCat(model_.source,
                         ": positions are not rotary, but "
                         "embedding.position_embeddings.weight is missing"));
      }
      c_.max_positions = (*learned)[0];
      return absl::OkStatus();
    }
    if (learned != nullptr) {
      return Unsupported(
          "learned and rotary positions together are not supported");
    }
    RopeConfig& rope = c_.rope.emplace();
    rope.double_cos_quirk = options_.megatron.rope_double_cos_quirk;
    ASSIGN_OR_RETURN(const double theta, args_.Double("rope_theta", 10000.0));
    ASSIGN_OR_RETURN(const double percent, args_.Double("rotary_percent", 1.0));
    if (!(percent > 0)) {
      return Damaged(absl::StrCat("args.rotary_percent is ", percent));
    }
    rope.theta = static_cast<float>(theta);
    rope.rotary_dim = c_.head_dim;
    if (percent < 1.0) {
      rope.rotary_dim =
          static_cast<int64_t>(static_cast<double>(c_.head_dim) * percent);
    }
    return absl::OkStatus();
  }

  // Taken from the gates; args.num_experts and expert_interval are redundant.
  absl::Status ReadExperts() {
    std::vector<int64_t> counts;  // of the MoE layers
    for (int64_t layer = 0; layer < c_.num_layers; ++layer) {
      const std::vector<int64_t>* gate =
          Dims(LayerPrefix(layer) + "moe.gate.weight");
      c_.experts_per_layer.push_back(
          gate == nullptr || gate->empty() ? 0 : (*gate)[0]);
      if (gate != nullptr) counts.push_back(c_.experts_per_layer.back());
    }
    const PickleValue* listed = model_.root->Find("num_experts");
    if (listed != nullptr && listed->is(Kind::kList) && !counts.empty()) {
      std::vector<int64_t> expected;
      for (const PickleValue* count : listed->items) {
        expected.push_back(count->AsInt().value_or(-1));
      }
      if (expected != counts) {
        return Damaged(absl::StrCat(
            "num_experts is [", absl::StrJoin(expected, ", "),
            "], but the gates have [", absl::StrJoin(counts, ", "), "]"));
      }
    }
    if (!counts.empty()) {
      ASSIGN_OR_RETURN(c_.top_k, args_.Int("topk", 1));
    }
    c_.normalize_top_k = c_.top_k > 1;
    return absl::OkStatus();
  }

  absl::Status ReadResidual() {
    const std::optional<ResidualMoeKind>& asked =
        options_.megatron.residual_moe;
    bool has_coefficient = false, has_bias = false;
    for (int64_t layer = 0; layer < c_.num_layers; ++layer) {
      const std::string name = LayerPrefix(layer) + "moe.coefficient.";
      has_coefficient |= Dims(name + "weight") != nullptr;
      has_bias |= Dims(name + "bias") != nullptr;
    }
    if (!has_coefficient) {
      if (!asked.has_value()) return absl::OkStatus();
      return Unsupported(absl::StrCat("residual_moe is set to ",
                                      ResidualMoeName(*asked),
                                      ", but the model has no residual MoE"));
    }
    c_.residual_moe = model_.has_local_moe || !has_bias ? ResidualMoeKind::kA
                                                        : ResidualMoeKind::kB2;
    if (asked == ResidualMoeKind::kNone) {
      return Unsupported("residual_moe is set to 'none', must be a, b1 or b2");
    }
    c_.residual_moe = asked.value_or(c_.residual_moe);
    if (c_.residual_moe == ResidualMoeKind::kA && has_bias) {
      warnings_->push_back(
          absl::StrCat(model_.source,
                       ": the bias of the residual coefficients is ignored, "
                       "as variant A has none"));
    }
    return absl::OkStatus();
  }

  const MegatronModel& model_;
  const MegatronArguments& args_;
  const CheckpointOptions& options_;
  std::vector<std::string>* warnings_;
  UniformModelConfig c_;
};

}  // namespace

absl::StatusOr<ModelConfig> ReadMegatronConfig(
    const MegatronModel& model, const CheckpointOptions& options,
    std::vector<std::string>* warnings) {
  ASSIGN_OR_RETURN(const MegatronArguments args,
                   MegatronArguments::Of(*model.root, model.source));
  return ConfigReader(model, args, options, warnings).Read();
}

absl::StatusOr<QkvLayout> ChooseQkvLayout(const MegatronModel& model,
                                          const MegatronOptions& options,
                                          std::vector<std::string>* warnings) {
  if (options.qkv_layout.has_value()) return *options.qkv_layout;
  const PickleValue* value = model.root->Find("checkpoint_version");
  const absl::optional<double> version =
      value == nullptr ? absl::optional<double>(0.0) : value->AsDouble();
  if (version != 0.0 && version != 1.0 && version != 2.0 && version != 3.0) {
    return absl::DataLossError(absl::StrCat(
        model.source, ": checkpoint_version is ", value->ToString(),
        ", must be 0, 1, 2 or 3: the order of the QKV rows is unknown; say it "
        "with qkv_layout"));
  }
  if (version == 0.0) {
    warnings->push_back(absl::StrCat(
        model.source, ": ",
        value == nullptr ? "no checkpoint_version" : "checkpoint_version is 0",
        ": the QKV rows are taken to be all q, all k, all v; override with "
        "qkv_layout"));
    return QkvLayout::kQKV;
  }
  if (version == 1.0) return QkvLayout::kVersion1;
  ASSIGN_OR_RETURN(const MegatronArguments args,
                   MegatronArguments::Of(*model.root, model.source));
  // Written by the change of 2024-12 that also reordered the rows, while the
  // version stayed the same.
  return args.Has("ds_sequence_parallel_fpdt") ? QkvLayout::kQKV
                                               : QkvLayout::kHeadInterleaved;
}

}  // namespace moe

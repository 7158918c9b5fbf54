// Inspects, verifies and creates checkpoints; see docs/checkpoints.md.

#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "engine/checkpoint/deepspeed/deepspeed_writer.h"
#include "engine/checkpoint/deepspeed/qkv_layout.h"
#include "engine/config/model_config_names.h"
#include "engine/config/parameter_count.h"
#include "engine/loading/open_checkpoint.h"
#include "kernels/core/status_macros.h"
#include "tools/checkpoint/inspect_command.h"
#include "tools/checkpoint/model_presets.h"
#include "tools/checkpoint/random_weights.h"

ABSL_FLAG(bool, all, false, "inspect: list every tensor by itself");
ABSL_FLAG(std::string, qkv_layout, "",
          "inspect, verify: head_interleaved, q_k_v, version_0 or version_1 "
          "instead of what the file says");
ABSL_FLAG(std::string, residual_moe, "",
          "inspect, verify: a, b1 or b2 instead of what the file says");
ABSL_FLAG(std::string, out, "", "make_random: directory to write");
ABSL_FLAG(std::string, preset, "tiny",
          "make_random: shape to start from; the flags below change it");
ABSL_FLAG(absl::optional<int64_t>, layers, absl::nullopt,
          "make_random: layers");
ABSL_FLAG(absl::optional<int64_t>, hidden, absl::nullopt,
          "make_random: hidden size");
ABSL_FLAG(absl::optional<int64_t>, heads, absl::nullopt,
          "make_random: attention heads");
ABSL_FLAG(absl::optional<int64_t>, kv_heads, absl::nullopt,
          "make_random: key/value heads; without, as --heads if that is given");
ABSL_FLAG(absl::optional<int64_t>, ffn, absl::nullopt,
          "make_random: feed-forward size; without, 4 x --hidden if that is "
          "given");
ABSL_FLAG(std::vector<std::string>, experts, {},
          "make_random: experts of the MoE layers (every second one), one "
          "number for all or one each, such as 4,4,8,8; 0: dense");
ABSL_FLAG(bool, residual, false, "make_random: residual MoE (B2)");
ABSL_FLAG(absl::optional<int64_t>, top_k, absl::nullopt,
          "make_random: experts that a token visits");
ABSL_FLAG(absl::optional<int64_t>, vocab, absl::nullopt,
          "make_random: vocabulary");
ABSL_FLAG(absl::optional<int64_t>, positions, absl::nullopt,
          "make_random: longest context");
ABSL_FLAG(std::string, dtype, "f16", "make_random: f16, bf16 or f32");
ABSL_FLAG(uint64_t, seed, 1, "make_random: seed of the weights");

namespace moe {
namespace {

constexpr char kUsage[] =
    "usage: checkpoint inspect DIR [--all]\n"
    "       checkpoint verify DIR\n"
    "       checkpoint make_random --out DIR [--preset NAME] [--layers N "
    "...]\n";

// Upper bound of numbers on the command line; Validate() has stricter bounds.
constexpr int64_t kMaxSize = int64_t{1} << 28;

absl::StatusOr<UniformModelConfig> ConfigFromFlags() {
  ASSIGN_OR_RETURN(UniformModelConfig config,
                   FindModelPreset(absl::GetFlag(FLAGS_preset)));
  for (const auto& [name, value] :
       {std::pair<const char*, absl::optional<int64_t>>{
            "layers", absl::GetFlag(FLAGS_layers)},
        {"hidden", absl::GetFlag(FLAGS_hidden)},
        {"heads", absl::GetFlag(FLAGS_heads)},
        {"kv_heads", absl::GetFlag(FLAGS_kv_heads)},
        {"ffn", absl::GetFlag(FLAGS_ffn)},
        {"top_k", absl::GetFlag(FLAGS_top_k)},
        {"vocab", absl::GetFlag(FLAGS_vocab)},
        {"positions", absl::GetFlag(FLAGS_positions)}}) {
    if (value.value_or(1) >= 1 && value.value_or(1) <= kMaxSize) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "--", name, " is ", *value, ", must be in [1, ", kMaxSize, "]"));
  }
  const auto set = [](const absl::optional<int64_t>& flag, int64_t* field) {
    *field = flag.value_or(*field);
    return flag.has_value();
  };
  const bool new_layers = set(absl::GetFlag(FLAGS_layers), &config.num_layers);
  const bool new_hidden = set(absl::GetFlag(FLAGS_hidden), &config.hidden_size);
  const bool new_heads = set(absl::GetFlag(FLAGS_heads), &config.num_heads);
  if (config.hidden_size % config.num_heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--hidden ", config.hidden_size,
                     " is not a multiple of --heads ", config.num_heads));
  }
  if (new_heads) config.num_kv_heads = config.num_heads;
  set(absl::GetFlag(FLAGS_kv_heads), &config.num_kv_heads);
  config.head_dim = config.hidden_size / config.num_heads;
  if (new_hidden) config.ffn_hidden_size = 4 * config.hidden_size;
  set(absl::GetFlag(FLAGS_ffn), &config.ffn_hidden_size);
  set(absl::GetFlag(FLAGS_top_k), &config.top_k);
  config.normalize_top_k = config.top_k > 1;
  set(absl::GetFlag(FLAGS_positions), &config.max_positions);
  if (set(absl::GetFlag(FLAGS_vocab), &config.vocab_size)) {
    config.padded_vocab_size = PadVocabulary(config.vocab_size);
  }
  std::vector<int64_t> experts;
  for (const std::string& text : absl::GetFlag(FLAGS_experts)) {
    int64_t count;
    if (!absl::SimpleAtoi(text, &count) || count < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--experts: '", text, "' is not a number of experts"));
    }
    experts.push_back(count);
  }
  if (experts == std::vector<int64_t>{0}) {
    RETURN_IF_ERROR(SetExperts({}, &config));
    config.residual_moe = ResidualMoeKind::kNone;
  } else if (!experts.empty()) {
    RETURN_IF_ERROR(SetExperts(experts, &config));
  } else if (new_layers) {
    return absl::InvalidArgumentError("--layers needs --experts too");
  }
  if (absl::GetFlag(FLAGS_residual)) config.residual_moe = ResidualMoeKind::kB2;
  RETURN_IF_ERROR(config.Validate());
  return config;
}

absl::Status MakeRandom() {
  const std::string out = absl::GetFlag(FLAGS_out);
  if (out.empty()) return absl::InvalidArgumentError("--out is missing");
  ASSIGN_OR_RETURN(const ModelConfig config, ConfigFromFlags());
  DeepSpeedWriterOptions options;
  const std::string dtype = absl::GetFlag(FLAGS_dtype);
  if (dtype == "f16") {
    options.dtype = DType::kF16;
  } else if (dtype == "bf16") {
    options.dtype = DType::kBf16;
  } else if (dtype == "f32") {
    options.dtype = DType::kF32;
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("--dtype is ", dtype, ", must be f16, bf16 or f32"));
  }
  const ParameterCount count = CountParameters(config);
  std::cout << "writing " << count.total << " parameters to " << out
            << std::endl;
  const RandomWeights weights(config, absl::GetFlag(FLAGS_seed));
  const auto source = [&](const std::string& name, int64_t row,
                          absl::Span<float> values) {
    weights.FillRow(name, row, values);
  };
  RETURN_IF_ERROR(WriteDeepSpeedCheckpoint(out, config, source, options));
  std::cout << "done" << std::endl;
  return absl::OkStatus();
}

absl::StatusOr<ResidualMoeKind> ParseResidualMoe(const std::string& name) {
  for (const ResidualMoeKind kind :
       {ResidualMoeKind::kA, ResidualMoeKind::kB1, ResidualMoeKind::kB2}) {
    if (name == ResidualMoeName(kind)) return kind;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("residual_moe is set to '", name, "', must be a, b1 or b2"));
}

absl::Status Run(const std::vector<char*>& arguments) {
  const std::string command = arguments.size() > 1 ? arguments[1] : "";
  if (command == "make_random" && arguments.size() == 2) return MakeRandom();
  if ((command != "inspect" && command != "verify") || arguments.size() != 3) {
    return absl::InvalidArgumentError(kUsage);
  }
  CheckpointOptions options;
  if (const std::string name = absl::GetFlag(FLAGS_qkv_layout); !name.empty()) {
    ASSIGN_OR_RETURN(options.megatron.qkv_layout, ParseQkvLayout(name));
  }
  if (const std::string name = absl::GetFlag(FLAGS_residual_moe);
      !name.empty()) {
    ASSIGN_OR_RETURN(options.megatron.residual_moe, ParseResidualMoe(name));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint,
                   OpenCheckpoint(arguments[2], options));
  if (command == "verify") return VerifyCheckpoint(*checkpoint, std::cout);
  return InspectCheckpoint(*checkpoint, absl::GetFlag(FLAGS_all), std::cout);
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(moe::kUsage);
  const absl::Status status = moe::Run(absl::ParseCommandLine(argc, argv));
  if (status.ok()) return 0;
  std::cerr << status.message() << std::endl;
  return 1;
}

#include "server/config/model_settings.h"

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/core/status_macros.h"
#include "server/text/utf8.h"

namespace moe {
namespace {

std::optional<QkvLayout> ReadQkvLayout(config::Checkpoint::QkvLayout layout) {
  switch (layout) {
    case config::Checkpoint::HEAD_INTERLEAVED:
      return QkvLayout::kHeadInterleaved;
    case config::Checkpoint::Q_K_V:
    case config::Checkpoint::VERSION_0:
      return QkvLayout::kQKV;
    case config::Checkpoint::VERSION_1:
      return QkvLayout::kVersion1;
    default:
      return std::nullopt;
  }
}

std::optional<ResidualMoeKind> ReadResidualMoe(
    config::Checkpoint::ResidualMoe kind) {
  switch (kind) {
    case config::Checkpoint::A:
      return ResidualMoeKind::kA;
    case config::Checkpoint::B1:
      return ResidualMoeKind::kB1;
    case config::Checkpoint::B2:
      return ResidualMoeKind::kB2;
    default:
      return std::nullopt;
  }
}

std::optional<ActivationKind> ReadActivation(
    config::Checkpoint::Activation activation) {
  switch (activation) {
    case config::Checkpoint::GELU_TANH:
      return ActivationKind::kGeluTanh;
    case config::Checkpoint::GELU_ERF:
      return ActivationKind::kGeluErf;
    default:
      return std::nullopt;
  }
}

absl::Status ReadCheckpoint(const config::Checkpoint& proto,
                            const ConfigSection& section,
                            CheckpointOptions& out) {
  out.megatron.qkv_layout = ReadQkvLayout(proto.qkv_layout());
  out.megatron.residual_moe = ReadResidualMoe(proto.residual_moe());
  out.megatron.activation = ReadActivation(proto.activation());
  out.megatron.rope_double_cos_quirk = proto.rope_double_cos_quirk();
  ASSIGN_OR_RETURN(
      out.vocab_size,
      section.Integer("vocab_size", 0, 1, std::numeric_limits<int32_t>::max()));
  return absl::OkStatus();
}

// True for valid UTF-8 without control characters.
bool IsPrintable(absl::string_view text) {
  while (!text.empty()) {
    const Utf8Unit unit = NextUtf8Unit(text);
    if (unit.kind != Utf8Unit::kCharacter || unit.code_point < 0x20 ||
        (unit.code_point >= 0x7f && unit.code_point < 0xa0)) {
      return false;
    }
    text.remove_prefix(unit.num_bytes);
  }
  return true;
}

// True too for a broken link or a file that may not be read: the tokenizer's
// reader reports them.
bool IsThere(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::symlink_status(path, ignored).type() !=
         std::filesystem::file_type::not_found;
}

// The tokenizer.json in the checkpoint's directory; of a tag's directory, also
// the one beside it, in the directory that training saved to. "" if there is
// none.
std::string FindTokenizer(const std::filesystem::path& checkpoint) {
  constexpr char kName[] = "tokenizer.json";
  std::error_code ignored;  // the checkpoint's reader reports it
  if (!std::filesystem::is_directory(checkpoint, ignored)) return "";
  if (IsThere(checkpoint / kName)) return checkpoint / kName;
  const bool is_tag = !IsThere(checkpoint / "latest") &&
                      IsThere(checkpoint / "mp_rank_00_model_states.pt");
  const std::filesystem::path beside =
      std::filesystem::canonical(checkpoint, ignored).parent_path() / kName;
  return is_tag && IsThere(beside) ? beside.string() : "";
}

}  // namespace

absl::StatusOr<ModelSettings> ReadModelSettings(const config::Model& proto,
                                                const ConfigSection& section) {
  ModelSettings out;
  if (!section.Has("path")) {
    return section.Error("path",
                         "is required: the directory of the checkpoint");
  }
  ASSIGN_OR_RETURN(out.checkpoint_path, section.ExistingPath("path"));
  const std::filesystem::path path(out.checkpoint_path);
  out.name = proto.name();
  if (out.name.empty()) {
    // The last part of "models/x/" is empty.
    out.name =
        (path.has_filename() ? path : path.parent_path()).filename().string();
  }
  if (!IsPrintable(out.name)) {
    return section.Error(
        proto.name().empty() ? "path" : "name",
        absl::StrCat("gives the model the name \"",
                     absl::Utf8SafeCHexEscape(ReplaceInvalidUtf8(out.name)),
                     "\", which is not printable UTF-8: set model.name to one "
                     "that is"));
  }
  ASSIGN_OR_RETURN(out.tokenizer_path, section.ExistingPath("tokenizer"));
  if (out.tokenizer_path.empty()) out.tokenizer_path = FindTokenizer(path);
  for (const uint32_t id : proto.eos_token_ids()) {
    if (id > std::numeric_limits<int32_t>::max()) {
      return section.ErrorOfEach(
          "eos_token_ids",
          absl::StrCat("holds ", id, ", which is no token id"));
    }
  }
  if (!proto.eos_token_ids().empty()) {
    out.eos_token_ids.emplace(proto.eos_token_ids().begin(),
                              proto.eos_token_ids().end());
  }
  switch (proto.weight_dtype()) {
    case config::Model::F16:
      out.weight_dtype = DType::kF16;
      break;
    case config::Model::F32:
      out.weight_dtype = DType::kF32;
      break;
    default:
      out.weight_dtype = DType::kBf16;
  }
  RETURN_IF_ERROR(ReadCheckpoint(proto.checkpoint(),
                                 section.Nested("checkpoint"), out.checkpoint));
  return out;
}

}  // namespace moe

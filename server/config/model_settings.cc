#include "server/config/model_settings.h"

#include <cstdint>
#include <filesystem>
#include <limits>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/core/status_macros.h"
#include "server/text/utf8.h"

namespace moe {
namespace {

// "" for the value 0 of an enum, which means "from the files".
template <typename Enum>
std::string LowerName(Enum value, const std::string& (*name)(Enum)) {
  return static_cast<int>(value) == 0 ? "" : absl::AsciiStrToLower(name(value));
}

absl::Status ReadCheckpoint(const config::Checkpoint& proto,
                            const ConfigSection& section,
                            CheckpointOptions& out) {
  out.qkv_layout = LowerName(
      proto.qkv_layout(),
      config::Checkpoint::QkvLayout_Name<config::Checkpoint::QkvLayout>);
  out.residual_moe = LowerName(
      proto.residual_moe(),
      config::Checkpoint::ResidualMoe_Name<config::Checkpoint::ResidualMoe>);
  out.activation = LowerName(
      proto.activation(),
      config::Checkpoint::Activation_Name<config::Checkpoint::Activation>);
  out.rope_double_cos_quirk = proto.rope_double_cos_quirk();
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
  std::error_code ignored;  // the checkpoint's reader reports it
  if (out.tokenizer_path.empty() &&
      std::filesystem::exists(path / "tokenizer.json", ignored)) {
    out.tokenizer_path = path / "tokenizer.json";
  }
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

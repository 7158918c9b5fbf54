#include "server/text/incremental_detokenizer.h"

#include "server/text/utf8.h"

namespace moe {

std::string IncrementalDetokenizer::Append(int32_t id) {
  if (skip_special_tokens_ && tokenizer_.IsSpecial(id)) return "";
  const absl::string_view token = tokenizer_.TokenBytes(id);
  pending_.append(token.data(), token.size());

  absl::string_view rest = pending_;
  std::string text;
  while (!rest.empty()) {
    const Utf8Unit unit = NextUtf8Unit(rest);
    if (unit.kind == Utf8Unit::kIncomplete) break;
    const absl::string_view piece = unit.kind == Utf8Unit::kCharacter
                                        ? rest.substr(0, unit.num_bytes)
                                        : kReplacementCharacter;
    text.append(piece.data(), piece.size());
    rest.remove_prefix(unit.num_bytes);
  }
  pending_.erase(0, pending_.size() - rest.size());
  return text;
}

std::string IncrementalDetokenizer::Finish() {
  if (pending_.empty()) return "";
  pending_.clear();
  return std::string(kReplacementCharacter.data(),
                     kReplacementCharacter.size());
}

}  // namespace moe

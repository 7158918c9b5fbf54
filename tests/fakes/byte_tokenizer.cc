#include "tests/fakes/byte_tokenizer.h"

#include <array>

namespace moe {

absl::StatusOr<Encoding> ByteTokenizer::Encode(
    absl::string_view text, const EncodeOptions& /*options*/) const {
  Encoding encoding;
  for (const char c : text) {
    encoding.ids.push_back(static_cast<unsigned char>(c));
  }
  return encoding;
}

absl::string_view ByteTokenizer::TokenBytes(int32_t id) const {
  static const auto* const bytes = [] {
    auto* made = new std::array<char, 256>;
    for (int i = 0; i < 256; ++i) (*made)[i] = static_cast<char>(i);
    return made;
  }();
  if (id == kEos) return "<eos>";
  if (!IsToken(id)) return "";
  return absl::string_view(bytes->data() + id, 1);
}

}  // namespace moe

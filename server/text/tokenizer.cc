#include "server/text/tokenizer.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/text/utf8.h"

namespace moe {

absl::StatusOr<std::string> Tokenizer::Decode(absl::Span<const int32_t> ids,
                                              bool skip_special_tokens) const {
  std::string bytes;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (!IsToken(ids[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat("token_ids[", i, "] is ", ids[i],
                       ", which is no token; the vocabulary has ids 0 to ",
                       vocab_size() - 1));
    }
    if (skip_special_tokens && IsSpecial(ids[i])) continue;
    const absl::string_view token = TokenBytes(ids[i]);
    bytes.append(token.data(), token.size());
  }
  return ReplaceInvalidUtf8(bytes);
}

}  // namespace moe

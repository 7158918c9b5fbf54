#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/text/bpe_tokenizer.h"

namespace moe {

// Reads Hugging Face's tokenizer.json, byte-level BPE only. kInvalidArgument
// names the wrong field of the file; kUnimplemented names a component that is
// not supported: none is ignored silently. Truncation and padding are not read:
// the server does neither with prompts.
absl::StatusOr<BpeTokenizerSpec> ParseTokenizerJson(absl::string_view text);

// GPT-2's own pair of files: vocab.json (encoder.json) and merges.txt. The
// entry <|endoftext|>, if there is one, becomes special and ends texts.
absl::StatusOr<BpeTokenizerSpec> ParseGpt2Files(absl::string_view vocab_json,
                                                absl::string_view merges_txt);

// The end-of-text tokens of the files beside tokenizer.json.
struct EndOfText {
  std::optional<std::string> token;  // tokenizer_config.json: eos_token
  std::vector<int32_t> ids;          // generation_config.json: eos_token_id
};
absl::StatusOr<EndOfText> ParseEndOfText(absl::string_view config_json);

}  // namespace moe

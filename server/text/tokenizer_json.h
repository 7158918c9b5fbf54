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
// naming the field where the file is wrong; kUnimplemented naming the component
// where it needs one that is missing here: none is passed over in silence.
// Truncation and padding are not read: a server does neither to a prompt.
absl::StatusOr<BpeTokenizerSpec> ParseTokenizerJson(absl::string_view json);

// GPT-2's own pair of files: vocab.json (encoder.json) and merges.txt. The
// entry <|endoftext|>, if there is one, becomes special and ends texts.
absl::StatusOr<BpeTokenizerSpec> ParseGpt2Files(absl::string_view vocab_json,
                                                absl::string_view merges_txt);

// What the files beside tokenizer.json say of the end of a text.
struct EndOfText {
  std::optional<std::string> token;  // tokenizer_config.json: eos_token
  std::vector<int32_t> ids;          // generation_config.json: eos_token_id
};
absl::StatusOr<EndOfText> ParseEndOfText(absl::string_view config_json);

}  // namespace moe

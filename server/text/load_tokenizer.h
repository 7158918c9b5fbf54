#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/text/tokenizer.h"

namespace moe {

// Reads a tokenizer from `path`: a tokenizer.json file (of any name), or a
// directory that holds tokenizer.json, or vocab.json (also named encoder.json)
// with merges.txt (vocab.bpe).
//
// Texts end with the union of eos_token in tokenizer_config.json and
// eos_token_id in generation_config.json beside it; failing both, with
// eos_token_id in config.json; failing that, with the first special token of
// <|endoftext|>, <|end_of_text|>, </s>, <eos>; or with none.
//
// kNotFound if there is no such file; kInvalidArgument and kUnimplemented name
// the file and the field.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(
    const std::string& path);

// As above, from GPT-2's pair of files, however they are named.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadGpt2Tokenizer(
    const std::string& vocab_path, const std::string& merges_path);

}  // namespace moe

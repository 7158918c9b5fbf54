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
// The end-of-text tokens are eos_token of tokenizer_config.json and
// eos_token_id of generation_config.json beside it; without these, eos_token_id
// of config.json; without that, the first special token among <|endoftext|>,
// <|end_of_text|>, </s>, <eos>, if any.
//
// kNotFound if there is no such file, saying what is there; kPermissionDenied;
// kInvalidArgument and kUnimplemented name the file and the field, or what the
// file is in place of a tokenizer's.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(
    const std::string& path);

// The same, from GPT-2's pair of files, with any names.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadGpt2Tokenizer(
    const std::string& vocab_path, const std::string& merges_path);

}  // namespace moe

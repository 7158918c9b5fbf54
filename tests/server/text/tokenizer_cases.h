#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/text/tokenizer.h"

namespace moe {

// Goldens of tests/goldens/tokenizer: results of Hugging Face's library.
struct TokenizerCase {
  std::string text;
  std::vector<int32_t> ids;
  std::vector<int32_t> ids_with_special;
  bool has_offsets = false;
  std::vector<ByteSpan> offsets;
};

struct DecodingCase {
  std::vector<int32_t> ids;
  std::string text;
  std::string text_without_special;
};

struct TokenizerGoldens {
  std::vector<TokenizerCase> cases;
  std::vector<DecodingCase> decodings;
};

// The names of all its tokenizers: "gpt2", "small", ...
std::vector<std::string> GoldenTokenizerNames();

// Both end the test process with the reason if the files cannot be read.
TokenizerGoldens LoadTokenizerGoldens(const std::string& name);
std::unique_ptr<Tokenizer> LoadGoldenTokenizer(const std::string& name);

}  // namespace moe

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/text/tokenizer.h"

namespace moe {

// A tokenizer whose token ids are bytes; id 256 is special and ends a text.
// Useful to split text, and characters, at any byte.
class ByteTokenizer : public Tokenizer {
 public:
  static constexpr int32_t kEos = 256;
  static constexpr int64_t kVocabSize = 257;

  absl::StatusOr<Encoding> Encode(absl::string_view text,
                                  const EncodeOptions& options) const override;
  absl::string_view TokenBytes(int32_t id) const override;
  bool IsToken(int32_t id) const override { return id >= 0 && id <= kEos; }
  bool IsSpecial(int32_t id) const override { return id == kEos; }
  int64_t vocab_size() const override { return kVocabSize; }
  absl::Span<const SpecialToken> special_tokens() const override {
    return special_;
  }
  absl::Span<const int32_t> eos_ids() const override { return eos_; }

 private:
  const std::vector<SpecialToken> special_ = {{kEos, "<eos>"}};
  const std::vector<int32_t> eos_ = {kEos};
};

}  // namespace moe

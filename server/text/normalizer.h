#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/text/tokenizer.h"

namespace moe {

enum class NormalizationForm { kNone, kNfc, kNfd, kNfkc, kNfkd };

// A normalized text with a map from its bytes to the source's.
class NormalizedText {
 public:
  const std::string& text() const { return text_; }

  // The bytes of the source that became `span` of text(). If the span touches a
  // changed piece, the whole piece.
  ByteSpan ToSource(ByteSpan span) const;

 private:
  friend absl::StatusOr<NormalizedText> Normalize(absl::string_view,
                                                  NormalizationForm);
  struct Change {
    ByteSpan source;
    ByteSpan target;
  };
  std::string text_;
  std::vector<Change> changes_;  // in order; between them bytes are the same
};

// `source`, valid UTF-8 of less than 2^31 bytes, in `form` (by ICU).
absl::StatusOr<NormalizedText> Normalize(absl::string_view source,
                                         NormalizationForm form);

}  // namespace moe

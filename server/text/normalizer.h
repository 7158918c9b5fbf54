#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/text/tokenizer.h"

namespace moe {

enum class NormalizationForm { kNone, kNfc, kNfd, kNfkc, kNfkd };

// A normalized text that knows where its bytes come from.
class NormalizedText {
 public:
  const std::string& text() const { return text_; }

  // The source's bytes that `span` of text() comes from; whole changed pieces
  // where it touches one.
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

#include "server/text/normalizer.h"

#include <unicode/bytestream.h>
#include <unicode/edits.h>
#include <unicode/normalizer2.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace moe {
namespace {

const icu::Normalizer2* GetInstance(NormalizationForm form, UErrorCode* error) {
  switch (form) {
    case NormalizationForm::kNone:
      break;
    case NormalizationForm::kNfc:
      return icu::Normalizer2::getNFCInstance(*error);
    case NormalizationForm::kNfd:
      return icu::Normalizer2::getNFDInstance(*error);
    case NormalizationForm::kNfkc:
      return icu::Normalizer2::getNFKCInstance(*error);
    case NormalizationForm::kNfkd:
      return icu::Normalizer2::getNFKDInstance(*error);
  }
  return nullptr;
}

}  // namespace

ByteSpan NormalizedText::ToSource(ByteSpan span) const {
  const auto starts_after = [](int64_t at, const Change& change) {
    return at < change.target.begin;
  };
  const auto starts_before = [](const Change& change, int64_t at) {
    return change.target.begin < at;
  };
  // The last change at or before each border determines its shift.
  auto change = std::upper_bound(changes_.begin(), changes_.end(), span.begin,
                                 starts_after);
  int64_t begin = span.begin;
  if (change != changes_.begin()) {
    --change;
    if (span.begin == span.end && change->target.begin < span.begin &&
        span.begin < change->target.end) {
      return {change->source.end, change->source.end};
    }
    begin = span.begin < change->target.end
                ? change->source.begin
                : span.begin - change->target.end + change->source.end;
  }
  if (span.begin == span.end) return {begin, begin};
  change = std::lower_bound(changes_.begin(), changes_.end(), span.end,
                            starts_before);
  int64_t end = span.end;
  if (change != changes_.begin()) {
    --change;
    end = span.end < change->target.end
              ? change->source.end
              : span.end - change->target.end + change->source.end;
  }
  return {begin, end};
}

absl::StatusOr<NormalizedText> Normalize(absl::string_view source,
                                         NormalizationForm form) {
  NormalizedText result;
  if (form == NormalizationForm::kNone) {
    result.text_.assign(source.data(), source.size());
    return result;
  }
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = GetInstance(form, &error);
  icu::Edits edits;
  if (U_SUCCESS(error)) {
    icu::StringByteSink<std::string> sink(&result.text_);
    normalizer->normalizeUTF8(
        0, icu::StringPiece(source.data(), static_cast<int32_t>(source.size())),
        sink, &edits, error);
  }
  if (U_SUCCESS(error)) {
    icu::Edits::Iterator edit = edits.getFineChangesIterator();
    while (edit.next(error)) {
      const int64_t from = edit.sourceIndex();
      const int64_t to = edit.destinationIndex();
      result.changes_.push_back(
          {{from, from + edit.oldLength()}, {to, to + edit.newLength()}});
    }
  }
  if (U_FAILURE(error)) {
    return absl::InternalError(absl::StrCat("ICU cannot normalize a text of ",
                                            source.size(),
                                            " bytes: ", u_errorName(error)));
  }
  return result;
}

}  // namespace moe

#include "server/text/pretokenizer.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr absl::string_view kGpt2Pattern =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
    "|\\s+(?!\\S)|\\s+";

// The pieces that consecutive spans become by `behavior`.
std::vector<PatternSpan> Apply(SplitBehavior behavior,
                               const std::vector<PatternSpan>& spans) {
  std::vector<PatternSpan> pieces;
  bool previous_matched = false;
  const auto join = [&pieces](const PatternSpan& span) {
    PatternSpan& last = pieces.back();
    last.begin = std::min(last.begin, span.begin);
    last.end = std::max(last.end, span.end);
  };
  const auto add_or_join = [&](const PatternSpan& span, bool joins) {
    if (joins && !pieces.empty()) {
      join(span);
    } else {
      pieces.push_back(span);
    }
    previous_matched = span.matched;
  };
  switch (behavior) {
    case SplitBehavior::kIsolated:
      pieces = spans;
      break;
    case SplitBehavior::kRemoved:
      std::copy_if(spans.begin(), spans.end(), std::back_inserter(pieces),
                   [](const PatternSpan& span) { return !span.matched; });
      break;
    case SplitBehavior::kContiguous:
      for (const PatternSpan& span : spans) {
        add_or_join(span, span.matched == previous_matched);
      }
      break;
    case SplitBehavior::kMergedWithPrevious:
      for (const PatternSpan& span : spans) {
        add_or_join(span, span.matched && !previous_matched);
      }
      break;
    case SplitBehavior::kMergedWithNext:
      for (auto span = spans.rbegin(); span != spans.rend(); ++span) {
        add_or_join(*span, span->matched && !previous_matched);
      }
      std::reverse(pieces.begin(), pieces.end());
      break;
  }
  return pieces;
}

}  // namespace

absl::StatusOr<Pretokenizer> Pretokenizer::Create(PretokenizerSpec spec) {
  ASSIGN_OR_RETURN(SplitPattern pattern,
                   SplitPattern::CreateRegex(kGpt2Pattern));
  return Pretokenizer(std::move(spec), std::move(pattern));
}

absl::Status Pretokenizer::Split(absl::string_view text, int64_t begin,
                                 int64_t end, std::vector<Pretoken>* pretokens,
                                 StopSignal* stop) const {
  if (begin == end) return absl::OkStatus();
  std::vector<PatternSpan> pieces = {{begin, end, false}};
  for (const SplitStep& step : spec_.steps) {
    std::vector<PatternSpan> next;
    for (const PatternSpan& piece : pieces) {
      std::vector<PatternSpan> spans;
      RETURN_IF_ERROR(
          step.pattern.Split(text, piece.begin, piece.end, &spans, stop));
      if (step.invert) {
        for (PatternSpan& span : spans) span.matched = !span.matched;
      }
      spans = Apply(step.behavior, spans);
      next.insert(next.end(), spans.begin(), spans.end());
    }
    pieces = std::move(next);
  }
  for (const PatternSpan& piece : pieces) {
    if (spec_.add_prefix_space && text[piece.begin] != ' ') {
      RETURN_IF_ERROR(
          SplitWithPrefix(text, piece.begin, piece.end, pretokens, stop));
    } else if (spec_.use_gpt2_pattern) {
      std::vector<PatternSpan> words;
      RETURN_IF_ERROR(
          gpt2_pattern_.Split(text, piece.begin, piece.end, &words, stop));
      for (const PatternSpan& word : words) {
        pretokens->push_back({word.begin, word.end, false});
      }
    } else {
      pretokens->push_back({piece.begin, piece.end, false});
    }
  }
  return absl::OkStatus();
}

absl::Status Pretokenizer::SplitWithPrefix(absl::string_view text,
                                           int64_t begin, int64_t end,
                                           std::vector<Pretoken>* pretokens,
                                           StopSignal* stop) const {
  if (!spec_.use_gpt2_pattern) {
    pretokens->push_back({begin, end, true});
    return absl::OkStatus();
  }
  const std::string prefixed =
      absl::StrCat(" ", text.substr(begin, end - begin));
  std::vector<PatternSpan> words;
  RETURN_IF_ERROR(gpt2_pattern_.Split(
      prefixed, 0, static_cast<int64_t>(prefixed.size()), &words, stop));
  for (const PatternSpan& word : words) {
    const bool has_prefix = word.begin == 0;
    pretokens->push_back({has_prefix ? begin : begin + word.begin - 1,
                          begin + word.end - 1, has_prefix});
  }
  return absl::OkStatus();
}

}  // namespace moe

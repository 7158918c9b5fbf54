#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/text/split_pattern.h"

namespace moe {

// What a split does with the matches of its pattern.
enum class SplitBehavior {
  kIsolated,            // each is a piece of its own
  kRemoved,             // dropped
  kMergedWithPrevious,  // joins the piece before it
  kMergedWithNext,      // joins the piece after it
  kContiguous,          // a row of matches is one piece
};

struct SplitStep {
  SplitPattern pattern;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // the text between matches counts as the matches
};

struct PretokenizerSpec {
  std::vector<SplitStep> steps;
  // Last step: adds a space before each piece that does not start with one.
  bool add_prefix_space = false;
  // Last step: splits by GPT-2's pattern.
  bool use_gpt2_pattern = true;
};

// A word for BPE: bytes [begin, end) of the text. `prefix_space`: preceded by a
// space that is not in the text.
struct Pretoken {
  int64_t begin = 0;
  int64_t end = 0;
  bool prefix_space = false;
};

// Splits text into words; BPE never merges across their borders. Immutable and
// thread-safe.
class Pretokenizer {
 public:
  static absl::StatusOr<Pretokenizer> Create(PretokenizerSpec spec);

  // Appends the words of bytes [begin, end) of `text`, valid UTF-8, in order.
  // Patterns do not see the rest. Errors as in SplitPattern::Split.
  absl::Status Split(absl::string_view text, int64_t begin, int64_t end,
                     std::vector<Pretoken>* pretokens,
                     StopSignal* stop = nullptr) const;

 private:
  Pretokenizer(PretokenizerSpec spec, SplitPattern gpt2_pattern)
      : spec_(std::move(spec)), gpt2_pattern_(std::move(gpt2_pattern)) {}
  absl::Status SplitWithPrefix(absl::string_view text, int64_t begin,
                               int64_t end, std::vector<Pretoken>* pretokens,
                               StopSignal* stop) const;

  PretokenizerSpec spec_;
  SplitPattern gpt2_pattern_;
};

}  // namespace moe

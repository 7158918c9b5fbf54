#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/text/split_pattern.h"

namespace moe {

// What becomes of the matches of a split pattern.
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
  bool invert = false;  // what lies between matches counts as the matches
};

struct PretokenizerSpec {
  std::vector<SplitStep> steps;
  // Last step: puts a space before each piece that starts with none.
  bool add_prefix_space = false;
  // Last step: splits by GPT-2's pattern.
  bool use_gpt2_pattern = true;
};

// A word for BPE: bytes [begin, end) of the text, behind a space that the text
// does not have if `prefix_space`.
struct Pretoken {
  int64_t begin = 0;
  int64_t end = 0;
  bool prefix_space = false;
};

// Cuts text into words, which BPE never merges across. Immutable, so safe to
// share by threads.
class Pretokenizer {
 public:
  static absl::StatusOr<Pretokenizer> Create(PretokenizerSpec spec);

  // Appends the words of bytes [begin, end) of `text`, valid UTF-8, in order.
  // Patterns do not see the rest. kResourceExhausted as SplitPattern::Split.
  absl::Status Split(absl::string_view text, int64_t begin, int64_t end,
                     std::vector<Pretoken>* pretokens) const;

 private:
  Pretokenizer(PretokenizerSpec spec, SplitPattern gpt2_pattern)
      : spec_(std::move(spec)), gpt2_pattern_(std::move(gpt2_pattern)) {}
  absl::Status SplitWithPrefix(absl::string_view text, int64_t begin,
                               int64_t end,
                               std::vector<Pretoken>* pretokens) const;

  PretokenizerSpec spec_;
  SplitPattern gpt2_pattern_;
};

}  // namespace moe

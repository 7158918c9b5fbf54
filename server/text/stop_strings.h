#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace moe {

// Searches for stop strings in a stream of text pieces, also across pieces. The
// text ends at the stop string that is complete first; if several end at the
// same byte, at the longest. Holds back text that may be the start of a stop
// string until that is known. The time is linear in the text for any number of
// stop strings. Not thread-safe.
//
//   ASSIGN_OR_RETURN(auto stops, StopStrings::Create({"\n\n"}, false));
//   for (...) { emit(stops.Append(piece)); if (stops.matched() >= 0) break; }
//   emit(stops.Finish());
class StopStrings {
 public:
  // kInvalidArgument if a stop string is empty or not UTF-8. `include_stop`:
  // keep the stop string at the end of the text.
  static absl::StatusOr<StopStrings> Create(absl::Span<const std::string> stops,
                                            bool include_stop);

  // Takes the next piece and returns the text that may be shown now. After a
  // match it ignores pieces and returns "". Returns whole characters if the
  // pieces contain whole characters.
  std::string Append(absl::string_view piece);

  // Ends the stream: returns the text that was held back.
  std::string Finish();

  // The index of the stop string found; -1: none yet.
  int64_t matched() const { return matched_; }

 private:
  // A node of the Aho-Corasick automaton: a prefix of some stop string.
  struct Node {
    std::vector<std::pair<char, int32_t>> children;
    int32_t fail = 0;         // the longest proper suffix that is a node
    int64_t stop = -1;        // the longest stop string that ends here
    int64_t stop_length = 0;  // its bytes
    int64_t depth = 0;        // bytes of the prefix
  };

  StopStrings() : nodes_(1) {}
  void Add(const std::string& stop, int64_t index);
  void LinkFailures();
  int32_t Child(int32_t node, char byte) const;  // -1: none
  int32_t Step(int32_t node, char byte) const;

  std::vector<Node> nodes_;  // [0]: the empty prefix
  bool include_stop_ = false;
  int32_t state_ = 0;
  int64_t matched_ = -1;
  std::string held_;
};

}  // namespace moe

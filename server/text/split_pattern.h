#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct pcre2_real_code_8;

namespace moe {

class StopSignal;

// A range of a text: a match of the pattern, or the text between two matches.
struct PatternSpan {
  int64_t begin = 0;
  int64_t end = 0;
  bool matched = false;
};

// A Unicode regular expression in Oniguruma's Ruby syntax, which tokenizer.json
// uses, run by PCRE2. Immutable and thread-safe.
class SplitPattern {
 public:
  // kInvalidArgument if it does not compile; kUnimplemented where the two
  // syntaxes differ in meaning (\h, && in classes, ...).
  static absl::StatusOr<SplitPattern> CreateRegex(absl::string_view regex);
  // Matches `text` itself. kInvalidArgument if it is empty.
  static absl::StatusOr<SplitPattern> CreateLiteral(absl::string_view text);

  // Splits [begin, end) of `text`, which must be valid UTF-8, into matches and
  // the text between them, and appends both in order, without empty spans. The
  // text outside the range has no influence. kResourceExhausted if a match
  // takes more than a fixed number of steps; kCancelled after `stop`.
  absl::Status Split(absl::string_view text, int64_t begin, int64_t end,
                     std::vector<PatternSpan>* spans,
                     StopSignal* stop = nullptr) const;

 private:
  using Code = std::shared_ptr<pcre2_real_code_8>;  // by copies; read only

  SplitPattern(std::string source, Code code)
      : source_(std::move(source)), code_(std::move(code)) {}
  static absl::StatusOr<SplitPattern> Compile(std::string source,
                                              const std::string& regex,
                                              uint32_t options);

  std::string source_;  // for messages
  Code code_;
};

}  // namespace moe

#pragma once

#include <istream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace moe::client {

// Where prompts come from: set either `arguments` or `file`.
struct PromptOptions {
  std::vector<std::string> arguments;  // one text; "-" is standard input
  std::string file;                    // "-" is standard input
  bool lines = false;                  // each non-empty line is a prompt
};

// The prompts, at least one, each valid UTF-8 and not empty. A line ending at
// the end of a file is not part of its prompt. kInvalidArgument says what is
// wrong. `standard_input`: the stream of "-".
absl::StatusOr<std::vector<std::string>> ReadPrompts(
    const PromptOptions& options, std::istream& standard_input);

}  // namespace moe::client

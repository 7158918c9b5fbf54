#pragma once

#include <string>
#include <vector>

namespace moe::client {

// client generate [PROMPT | -]: streams answers to standard output; progress
// and statistics go to standard error. Returns the exit status.
int RunGenerate(const std::vector<std::string>& arguments);

}  // namespace moe::client

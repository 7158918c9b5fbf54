#pragma once

#include <string>
#include <vector>

namespace moe::client {

// Each takes the words after the command's name and returns the exit status.

// client tokenize [TEXT | -]: a line for each token, with its id and its bytes.
int RunTokenize(const std::vector<std::string>& arguments);
// client detokenize ID...
int RunDetokenize(const std::vector<std::string>& arguments);
// client models
int RunModels(const std::vector<std::string>& arguments);

}  // namespace moe::client

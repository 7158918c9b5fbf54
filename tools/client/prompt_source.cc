#include "tools/client/prompt_source.h"

#include <fstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernels/core/status_macros.h"
#include "server/text/utf8.h"

namespace moe::client {
namespace {

absl::StatusOr<std::string> ReadAll(const std::string& path,
                                    std::istream& standard_input) {
  std::ifstream file;
  if (path != "-") file.open(path, std::ios::binary);
  std::istream& stream = path == "-" ? standard_input : file;
  std::string text;
  char buffer[4096];
  // read() turns the stream buffer's exceptions (for a directory) into badbit.
  while (stream.read(buffer, sizeof(buffer)), stream.gcount() > 0) {
    text.append(buffer, static_cast<size_t>(stream.gcount()));
  }
  if (stream.bad() || (path != "-" && !file.is_open())) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read the prompt from \"", path, "\""));
  }
  return text;
}

void DropLineEnding(std::string* text) {
  if (!text->empty() && text->back() == '\n') text->pop_back();
  if (!text->empty() && text->back() == '\r') text->pop_back();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ReadPrompts(
    const PromptOptions& options, std::istream& standard_input) {
  if (options.arguments.size() + !options.file.empty() != 1) {
    return absl::InvalidArgumentError(
        options.arguments.size() > 1
            ? "more than one prompt: put it in quotes"
            : "give one prompt: as an argument, - for standard input, or "
              "--prompt_file");
  }
  std::string text;
  if (!options.file.empty() || options.arguments[0] == "-") {
    ASSIGN_OR_RETURN(text, ReadAll(options.file.empty() ? "-" : options.file,
                                   standard_input));
    if (!options.lines) DropLineEnding(&text);
  } else {
    text = options.arguments[0];
  }
  std::vector<std::string> prompts;
  if (options.lines) {
    std::vector<std::string> lines = absl::StrSplit(text, '\n');
    for (std::string& line : lines) {
      DropLineEnding(&line);
      if (!line.empty()) prompts.push_back(std::move(line));
    }
  } else if (!text.empty()) {
    prompts.push_back(std::move(text));
  }
  if (prompts.empty()) {
    return absl::InvalidArgumentError("the prompt is empty");
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    const size_t at = FindInvalidUtf8(prompts[i]);
    if (at == absl::string_view::npos) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("prompt ", i + 1, " is not valid UTF-8 at byte ", at));
  }
  return prompts;
}

}  // namespace moe::client

#include "tools/client/prompt_source.h"

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace moe::client {
namespace {

using Strings = std::vector<std::string>;

absl::StatusOr<Strings> Read(const PromptOptions& options,
                             const std::string& input = "") {
  std::istringstream stream(input);
  return ReadPrompts(options, stream);
}

TEST(PromptSourceTest, AnArgumentIsTakenAsItIs) {
  EXPECT_EQ(*Read({{"Once\n"}, "", false}), Strings{"Once\n"});
}

TEST(PromptSourceTest, StandardInputLosesItsLastLineEnding) {
  EXPECT_EQ(*Read({{"-"}, "", false}, "a\nb\n"), Strings{"a\nb"});
  EXPECT_EQ(*Read({{}, "-", false}, "a\r\n"), Strings{"a"});
}

TEST(PromptSourceTest, LinesAreOnePromptEach) {
  EXPECT_EQ(*Read({{"-"}, "", true}, "one\n\ntwo\r\nthree"),
            (Strings{"one", "two", "three"}));
}

TEST(PromptSourceTest, ReadsFiles) {
  const std::string path = testing::TempDir() + "/prompt.txt";
  std::ofstream(path) << "from a file\n";
  EXPECT_EQ(*Read({{}, path, false}), Strings{"from a file"});
  EXPECT_FALSE(Read({{}, path + ".missing", false}).ok());
  EXPECT_FALSE(Read({{}, testing::TempDir(), false}).ok());
}

TEST(PromptSourceTest, NoneTwoEmptyAndInvalidAreRefused) {
  const std::vector<std::pair<PromptOptions, std::string>> cases = {
      {{{}, "", false}, ""},        {{{"a", "b"}, "", false}, ""},
      {{{"a"}, "file", false}, ""}, {{{""}, "", false}, ""},
      {{{"-"}, "", false}, "\n"},   {{{"-"}, "", true}, "\n\n"},
      {{{"a\xFF"}, "", false}, ""}};
  for (const auto& [options, input] : cases) {
    EXPECT_EQ(Read(options, input).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace moe::client

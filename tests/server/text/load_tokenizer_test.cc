#include "server/text/load_tokenizer.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tests/server/text/tokenizer_cases.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr char kGoldens[] = "tests/goldens/tokenizer";

class LoadTokenizerTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::path(testing::TempDir()) /
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  void Write(const std::string& name, const std::string& content) {
    std::ofstream(directory_ / name, std::ios::binary) << content;
  }
  void CopySmall() {
    fs::copy_file(fs::path(kGoldens) / "small.json",
                  directory_ / "tokenizer.json");
  }
  std::vector<int32_t> EosIds() {
    const auto tokenizer = LoadTokenizer(directory_.string());
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    if (!tokenizer.ok()) return {};
    return {(*tokenizer)->eos_ids().begin(), (*tokenizer)->eos_ids().end()};
  }

  fs::path directory_;
};

using Ids = std::vector<int32_t>;

TEST_F(LoadTokenizerTest, ReadsGpt2sPairOfFiles) {
  const auto tokenizer = LoadTokenizer(std::string(kGoldens) + "/gpt2");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->vocab_size(), 50257);
  EXPECT_EQ(Ids((*tokenizer)->eos_ids().begin(), (*tokenizer)->eos_ids().end()),
            Ids{50256});
  ASSERT_EQ((*tokenizer)->special_tokens().size(), 1u);
  EXPECT_EQ((*tokenizer)->special_tokens()[0].content, "<|endoftext|>");
}

TEST_F(LoadTokenizerTest, EndOfTextByNameFailingAllElse) {
  CopySmall();
  EXPECT_EQ(EosIds(), Ids{0});
}

TEST_F(LoadTokenizerTest, EndOfTextIsTheUnionOfTokenizersAndGenerations) {
  CopySmall();
  Write("tokenizer_config.json", R"({"eos_token": "!"})");
  Write("generation_config.json", R"({"eos_token_id": [7, 1, 8]})");
  Write("config.json", R"({"eos_token_id": 99})");
  EXPECT_EQ(EosIds(), (Ids{1, 7, 8}));
}

TEST_F(LoadTokenizerTest, EndOfTextOfTheModelsConfig) {
  CopySmall();
  Write("config.json", R"({"eos_token_id": 99})");
  EXPECT_EQ(EosIds(), Ids{99});
}

TEST_F(LoadTokenizerTest, WrongNeighboursAreNamed) {
  CopySmall();
  Write("tokenizer_config.json", R"({"eos_token": "<nowhere>"})");
  absl::Status status = LoadTokenizer(directory_.string()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("tokenizer_config.json"),
            absl::string_view::npos);
  EXPECT_NE(status.message().find("<nowhere>"), absl::string_view::npos);
  Write("tokenizer_config.json", "{");
  status = LoadTokenizer(directory_.string()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  Write("tokenizer_config.json", "{}");
  Write("generation_config.json", R"({"eos_token_id": 600})");
  status = LoadTokenizer(directory_.string()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
}

TEST_F(LoadTokenizerTest, MissingFilesAreNotFound) {
  EXPECT_EQ(LoadTokenizer(directory_.string()).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(LoadTokenizer((directory_ / "none.json").string()).status().code(),
            absl::StatusCode::kNotFound);
  Write("vocab.json", "{}");  // without merges.txt
  EXPECT_EQ(LoadTokenizer(directory_.string()).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(LoadTokenizerTest, ErrorsNameTheFile) {
  Write("tokenizer.json", "{}");
  const absl::Status status = LoadTokenizer(directory_.string()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("tokenizer.json"), absl::string_view::npos);
}

}  // namespace
}  // namespace moe

#include "server/text/load_tokenizer.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/server/text/tokenizer_cases.h"
#include "tests/support/unprivileged.h"

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

// Every file of a tokenizer, each replaced by what is there by mistake.
TEST_F(LoadTokenizerTest, FilesOfOtherKindsAreNamed) {
  const std::pair<std::string, std::string> kKinds[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
       "it is a Git LFS pointer"},
      {std::string(100, '\0'), "it is zeros, all of its 100 bytes"},
      {"<!DOCTYPE html>", "it is an HTML page"},
      {"\x1f\x8b\x08", "it is compressed by gzip"},
      {"PK\x03\x04", "it is a zip archive"},
      {"", "it is empty"},
  };
  const auto expect = [this](const std::string& file, const std::string& says) {
    const absl::Status status = LoadTokenizer(directory_.string()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_TRUE(absl::StrContains(
        status.message(), absl::StrCat((directory_ / file).string(),
                                       ": not a tokenizer's file: ", says)))
        << status;
  };
  for (const auto& [bytes, says] : kKinds) {
    Write("tokenizer.json", bytes);
    expect("tokenizer.json", says);
    fs::remove(directory_ / "tokenizer.json");
    CopySmall();
    for (const char* file :
         {"tokenizer_config.json", "generation_config.json", "config.json"}) {
      Write(file, bytes);
      expect(file, says);
      fs::remove(directory_ / file);
    }
    fs::remove(directory_ / "tokenizer.json");
    Write("vocab.json", bytes);
    Write("merges.txt", "#version: 0.2\n");
    expect("vocab.json", says);
    Write("vocab.json", R"({"a": 0})");
    Write("merges.txt", bytes);
    expect("merges.txt", says);
    fs::remove(directory_ / "vocab.json");
  }
}

TEST_F(LoadTokenizerTest, WhatIsThereInsteadIsNamed) {
  const auto expect = [this](absl::StatusCode code, const std::string& says) {
    const absl::Status status = LoadTokenizer(directory_.string()).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), says)) << status;
  };
  constexpr absl::StatusCode kNotFound = absl::StatusCode::kNotFound;
  expect(kNotFound, "with merges.txt, and is empty");
  Write("vocab.json", "{}");
  expect(kNotFound, "with merges.txt, but vocab.json");
  Write("tokenizer.model", "x");
  expect(kNotFound, "but tokenizer.model, a model of SentencePiece");
  fs::create_symlink("gone", directory_ / "tokenizer.json");
  expect(kNotFound,
         "tokenizer.json: is a symbolic link to gone, which does not exist");
  fs::remove(directory_ / "tokenizer.json");
  fs::create_directory(directory_ / "tokenizer.json");
  expect(kNotFound, "tokenizer.json: is a directory, not a file");
  fs::remove(directory_ / "tokenizer.json");
  CopySmall();
  fs::create_symlink("gone", directory_ / "tokenizer_config.json");
  expect(kNotFound, "tokenizer_config.json: is a symbolic link to gone");
  fs::remove(directory_ / "tokenizer_config.json");
  fs::permissions(directory_ / "tokenizer.json", fs::perms::none);
  const Unprivileged user;
  if (!user.active()) GTEST_SKIP() << "the system keeps root's capabilities";
  expect(absl::StatusCode::kPermissionDenied,
         "tokenizer.json: Permission denied; this process runs as user ");
}

TEST_F(LoadTokenizerTest, EveryTruncationIsSaidToBeOne) {
  std::ifstream file(fs::path(kGoldens) / "small.json", std::ios::binary);
  const std::string whole(std::istreambuf_iterator<char>(file), {});
  for (size_t part = 1; part < 20; ++part) {
    Write("tokenizer.json", whole.substr(0, whole.size() * part / 20));
    const absl::Status status = LoadTokenizer(directory_.string()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "cut short")) << status;
  }
  Write("tokenizer.json", "{}}");
  const absl::Status status = LoadTokenizer(directory_.string()).status();
  EXPECT_FALSE(absl::StrContains(status.message(), "cut short")) << status;
}

TEST_F(LoadTokenizerTest, ErrorsNameTheFile) {
  Write("tokenizer.json", "{}");
  const absl::Status status = LoadTokenizer(directory_.string()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("tokenizer.json"), absl::string_view::npos);
}

}  // namespace
}  // namespace moe

#include "server/text/tokenizer_json.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "server/text/bpe_tokenizer.h"

namespace moe {
namespace {

// A complete file; tests replace parts of it.
constexpr char kFile[] = R"({
  "version": "1.0", "truncation": null, "padding": null,
  "added_tokens": [{"id": 3, "content": "<s>", "special": true}],
  "normalizer": null,
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
  "post_processor": null,
  "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": "",
            "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}
})";

absl::Status ParseWith(const std::string& from, const std::string& to) {
  const std::string text = absl::StrReplaceAll(kFile, {{from, to}});
  EXPECT_NE(text, kFile) << from << " is not in the file";
  const auto spec = ParseTokenizerJson(text);
  if (!spec.ok()) return spec.status();
  return BpeTokenizer::Create(*spec).status();
}

TEST(TokenizerJsonTest, ReadsAWholeFile) {
  const auto spec = ParseTokenizerJson(kFile);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->model.vocab.size(), 3u);
  ASSERT_EQ(spec->model.merges.size(), 1u);
  EXPECT_EQ(spec->model.merges[0],
            (std::pair<std::string, std::string>("a", "b")));
  ASSERT_EQ(spec->added_tokens.size(), 1u);
  EXPECT_TRUE(spec->added_tokens[0].special);
  EXPECT_TRUE(spec->pretokenizer.use_gpt2_pattern);
}

TEST(TokenizerJsonTest, MergesMayBePairs) {
  EXPECT_TRUE(ParseWith("[\"a b\"]", "[[\"a\", \"b\"]]").ok());
}

TEST(TokenizerJsonTest, MissingComponentsAreUnimplementedByName) {
  struct Case {
    std::string from, to, named;
  };
  const std::string pre = R"({"type": "ByteLevel", "add_prefix_space": false})";
  const Case cases[] = {
      {"\"BPE\"", "\"Unigram\"", "Unigram"},
      {"\"BPE\"", "\"WordPiece\"", "WordPiece"},
      {"\"dropout\": null", "\"dropout\": 0.1", "dropout"},
      {"\"continuing_subword_prefix\": null",
       "\"continuing_subword_prefix\": \"##\"", "continuing_subword_prefix"},
      {"\"end_of_word_suffix\": \"\"", "\"end_of_word_suffix\": \"</w>\"",
       "end_of_word_suffix"},
      {"\"unk_token\": null", "\"byte_fallback\": true", "byte_fallback"},
      {"\"normalizer\": null", "\"normalizer\": {\"type\": \"Lowercase\"}",
       "Lowercase"},
      {"\"normalizer\": null",
       "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": "
       "[{\"type\": \"NFC\"}, {\"type\": \"NFD\"}]}",
       "Sequence"},
      {pre, "null", "pre_tokenizer"},
      {pre, R"({"type": "Metaspace"})", "Metaspace"},
      {pre, R"({"type": "Split", "pattern": {"Regex": "a"}})", "Split"},
      {pre,
       R"({"type": "Sequence", "pretokenizers": [{"type": "Whitespace"},
          {"type": "ByteLevel"}]})",
       "Whitespace"},
      {pre,
       R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"},
          {"type": "Digits"}]})",
       "ByteLevel"},
      {"\"decoder\": {\"type\": \"ByteLevel\"}",
       "\"decoder\": {\"type\": \"WordPiece\"}", "WordPiece"},
      {"\"post_processor\": null", "\"post_processor\": {\"type\": \"Other\"}",
       "Other"},
  };
  for (const Case& bad : cases) {
    const absl::Status status = ParseWith(bad.from, bad.to);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented)
        << bad.to << ": " << status;
    EXPECT_NE(status.message().find(bad.named), absl::string_view::npos)
        << status;
  }
}

TEST(TokenizerJsonTest, WrongFieldsAreInvalidByName) {
  struct Case {
    std::string from, to, named;
  };
  const Case cases[] = {
      {"\"a\": 0", "\"a\": -1", "model.vocab[\"a\"]"},
      {"\"a\": 0", "\"a\": 1.5", "model.vocab[\"a\"]"},
      {"\"a\": 0", "\"a\": \"x\"", "model.vocab[\"a\"]"},
      {"\"a\": 0", "\"a\": 18446744073709551615", "model.vocab[\"a\"]"},
      {"\"a\": 0", "\"a\": 1", "vocab"},
      {"[\"a b\"]", "[\"a  b\"]", "merges[0]"},
      {"[\"a b\"]", "[\"ab\"]", "merges[0]"},
      {"[\"a b\"]", "[[\"a\"]]", "merges[0]"},
      {"[\"a b\"]", "[\"b a\"]", "merges[0]"},
      {"[\"a b\"]", "{}", "model.merges"},
      {"\"id\": 3", "\"id\": 1", "<s>"},
      {"\"id\": 3", "\"id\": null", "added_tokens[0].id"},
      {"\"special\": true", "\"special\": 1", "added_tokens[0].special"},
      {"\"content\": \"<s>\"", "\"content\": 7", "added_tokens[0].content"},
      {"\"add_prefix_space\": false", "\"add_prefix_space\": 0",
       "pre_tokenizer.add_prefix_space"},
      {"\"model\": {", "\"model\": [], \"other\": {", "model"},
  };
  for (const Case& bad : cases) {
    const absl::Status status = ParseWith(bad.from, bad.to);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument)
        << bad.to << ": " << status;
    EXPECT_NE(status.message().find(bad.named), absl::string_view::npos)
        << bad.to << ": " << status;
  }
}

TEST(TokenizerJsonTest, TruncatedAndDeepFilesAreRefused) {
  const std::string file = kFile;
  for (size_t size = 0; size < file.size() - 1; size += 7) {
    EXPECT_EQ(ParseTokenizerJson(file.substr(0, size)).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_FALSE(ParseTokenizerJson("[]").ok());
  EXPECT_FALSE(ParseTokenizerJson("\xFF{}").ok());
  EXPECT_FALSE(ParseTokenizerJson(std::string(1 << 18, '[')).ok());
}

TEST(TokenizerJsonTest, Gpt2FilesMarkTheEndOfText) {
  const auto spec =
      ParseGpt2Files(R"({"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3})",
                     "#version: 0.2\r\na b\r\n");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->eos_ids, std::vector<int32_t>{3});
  EXPECT_EQ(spec->model.merges.size(), 1u);
  EXPECT_FALSE(ParseGpt2Files("{\"a\": 0}", "a b c\n").ok());
  EXPECT_FALSE(ParseGpt2Files("[]", "").ok());
}

TEST(TokenizerJsonTest, EndOfTextTakesEveryForm) {
  EXPECT_EQ(*ParseEndOfText(R"({"eos_token": "</s>"})")->token, "</s>");
  EXPECT_EQ(*ParseEndOfText(R"({"eos_token": {"content": "</s>"}})")->token,
            "</s>");
  EXPECT_EQ(ParseEndOfText(R"({"eos_token_id": 5})")->ids,
            std::vector<int32_t>{5});
  EXPECT_EQ(ParseEndOfText(R"({"eos_token_id": [5, 6]})")->ids,
            (std::vector<int32_t>{5, 6}));
  EXPECT_TRUE(ParseEndOfText(R"({"eos_token": null})")->ids.empty());
  EXPECT_FALSE(ParseEndOfText(R"({"eos_token_id": "x"})").ok());
  EXPECT_FALSE(ParseEndOfText(R"({"eos_token": 3})").ok());
}

}  // namespace
}  // namespace moe

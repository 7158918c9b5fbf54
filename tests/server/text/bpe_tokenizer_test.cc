#include "server/text/bpe_tokenizer.h"

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "server/text/stop_signal.h"
#include "tests/server/text/tokenizer_cases.h"

namespace moe {
namespace {

constexpr EncodeOptions kPlain = {.add_special_tokens = false,
                                  .parse_special_tokens = true,
                                  .return_offsets = true};

// Widens a span to whole characters, as Hugging Face's offsets are.
ByteSpan WholeCharacters(const std::string& text, ByteSpan span) {
  const auto inside = [&text](int64_t at) {
    return at > 0 && at < static_cast<int64_t>(text.size()) &&
           (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80;
  };
  while (inside(span.begin)) --span.begin;
  while (inside(span.end)) ++span.end;
  return span;
}

class GoldenTokenizerTest : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Tokenizer> tokenizer_ = LoadGoldenTokenizer(GetParam());
  TokenizerGoldens goldens_ = LoadTokenizerGoldens(GetParam());
};

TEST_P(GoldenTokenizerTest, EncodesAsHuggingFaceDoes) {
  ASSERT_GT(goldens_.cases.size(), 200u);
  for (const TokenizerCase& golden : goldens_.cases) {
    SCOPED_TRACE(testing::PrintToString(golden.text));
    const auto encoding = tokenizer_->Encode(golden.text, kPlain);
    ASSERT_TRUE(encoding.ok()) << encoding.status();
    EXPECT_EQ(encoding->ids, golden.ids);
    const auto with_special = tokenizer_->Encode(golden.text, {});
    ASSERT_TRUE(with_special.ok()) << with_special.status();
    EXPECT_EQ(with_special->ids, golden.ids_with_special);
    EXPECT_TRUE(with_special->offsets.empty());
  }
}

TEST_P(GoldenTokenizerTest, OffsetsAreHuggingFacesToTheByte) {
  for (const TokenizerCase& golden : goldens_.cases) {
    SCOPED_TRACE(testing::PrintToString(golden.text));
    const auto encoding = tokenizer_->Encode(golden.text, kPlain);
    ASSERT_TRUE(encoding.ok()) << encoding.status();
    ASSERT_EQ(encoding->offsets.size(), encoding->ids.size());
    int64_t end = 0;
    for (size_t i = 0; i < encoding->ids.size(); ++i) {
      const ByteSpan span = encoding->offsets[i];
      EXPECT_LE(span.begin, span.end);
      EXPECT_LE(span.end, static_cast<int64_t>(golden.text.size()));
      EXPECT_GE(span.end, end);
      end = span.end;
      if (!golden.has_offsets || span.begin == span.end) continue;
      EXPECT_EQ(WholeCharacters(golden.text, span), golden.offsets[i])
          << "token " << i << " [" << span.begin << ", " << span.end
          << "), golden [" << golden.offsets[i].begin << ", "
          << golden.offsets[i].end << ")";
    }
  }
}

TEST_P(GoldenTokenizerTest, DecodesAsHuggingFaceDoes) {
  ASSERT_GE(goldens_.decodings.size(), 40u);
  for (const DecodingCase& golden : goldens_.decodings) {
    const auto text = tokenizer_->Decode(golden.ids, false);
    ASSERT_TRUE(text.ok()) << text.status();
    EXPECT_EQ(*text, golden.text);
    const auto without_special = tokenizer_->Decode(golden.ids, true);
    ASSERT_TRUE(without_special.ok()) << without_special.status();
    EXPECT_EQ(*without_special, golden.text_without_special);
  }
}

TEST_P(GoldenTokenizerTest, EveryTokenHasBytesAndDecodes) {
  int64_t num_tokens = 0;
  for (int32_t id = 0; id < tokenizer_->vocab_size(); ++id) {
    if (!tokenizer_->IsToken(id)) continue;
    ++num_tokens;
    EXPECT_FALSE(tokenizer_->TokenBytes(id).empty()) << id;
  }
  EXPECT_GE(num_tokens, 600);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTokenizerTest,
                         testing::ValuesIn(GoldenTokenizerNames()),
                         [](const auto& info) { return info.param; });

TEST(BpeTokenizerTest, ByteLevelTextDecodesToItself) {
  const auto tokenizer = LoadGoldenTokenizer("gpt2");
  for (const TokenizerCase& golden : LoadTokenizerGoldens("gpt2").cases) {
    const auto encoding = tokenizer->Encode(golden.text, kPlain);
    ASSERT_TRUE(encoding.ok());
    EXPECT_EQ(*tokenizer->Decode(encoding->ids, false), golden.text);
    int64_t at = 0;  // offsets cover the text without gaps
    for (const ByteSpan& span : encoding->offsets) {
      EXPECT_EQ(span.begin, at);
      at = span.end;
    }
    EXPECT_EQ(at, static_cast<int64_t>(golden.text.size()));
  }
}

TEST(BpeTokenizerTest, SpecialTokensInTextCanBeTakenAsText) {
  const auto tokenizer = LoadGoldenTokenizer("gpt2");
  const std::string text = "a<|endoftext|>b";
  const auto parsed = tokenizer->Encode(text, {});
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->ids, (std::vector<int32_t>{64, 50256, 65}));
  const auto taken_as_text =
      tokenizer->Encode(text, {.parse_special_tokens = false});
  ASSERT_TRUE(taken_as_text.ok());
  for (const int32_t id : taken_as_text->ids) {
    EXPECT_FALSE(tokenizer->IsSpecial(id));
  }
  EXPECT_EQ(*tokenizer->Decode(taken_as_text->ids, true), text);
}

TEST(BpeTokenizerTest, InvalidUtf8IsRefusedNamingTheByte) {
  const auto tokenizer = LoadGoldenTokenizer("small");
  for (const std::string bad : {"abc\xFF", "abc\xC3", "abc\xED\xA0\x80",
                                "abc\xC0\x80", "abc\xF4\x90\x80\x80"}) {
    const auto encoding = tokenizer->Encode(bad, {});
    ASSERT_FALSE(encoding.ok());
    EXPECT_EQ(encoding.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(encoding.status().message().find("byte 3"),
              absl::string_view::npos);
  }
}

TEST(BpeTokenizerTest, DecodeRefusesIdsThatAreNoTokens) {
  const auto tokenizer = LoadGoldenTokenizer("small");
  for (const int32_t bad : {-1, 600, 1 << 30}) {
    const auto text = tokenizer->Decode({5, bad}, false);
    ASSERT_FALSE(text.ok());
    EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(text.status().message().find("token_ids[1]"),
              absl::string_view::npos);
    EXPECT_EQ(tokenizer->TokenBytes(bad), "");
    EXPECT_FALSE(tokenizer->IsSpecial(bad));
  }
}

TEST(BpeTokenizerTest, HostileTextsTakeSeconds) {
  // Each text is a single word, or whitespace that patterns can match in many
  // ways; a quadratic algorithm would run for minutes.
  std::vector<std::string> texts = {std::string(1 << 18, 'a'),
                                    std::string(1 << 18, ' '),
                                    std::string(1 << 18, '\n'), ""};
  for (int i = 0; i < 1 << 17; ++i) texts.back() += i % 3 ? " \n" : "'s";
  for (const char* name : {"gpt2", "llama3_like", "deepseek_like"}) {
    const auto tokenizer = LoadGoldenTokenizer(name);
    for (const std::string& text : texts) {
      const auto start = std::chrono::steady_clock::now();
      const auto encoding = tokenizer->Encode(text, kPlain);
      const std::chrono::duration<double> seconds =
          std::chrono::steady_clock::now() - start;
      EXPECT_LT(seconds.count(), 60.0) << name;
      ASSERT_TRUE(encoding.ok()) << name << ": " << encoding.status();
      // Not EXPECT_EQ: printing a difference would take minutes.
      EXPECT_TRUE(*tokenizer->Decode(encoding->ids, true) == text) << name;
    }
  }
}

// Wherever the time goes: into words or into the merges of one word.
TEST(BpeTokenizerTest, AStoppedEncodeEndsWhereItStands) {
  std::string words;
  for (int i = 0; i < 1 << 15; ++i) words += i % 2 ? " sea" : " 12";
  for (const char* name : {"gpt2", "llama3_like", "deepseek_like"}) {
    const auto tokenizer = LoadGoldenTokenizer(name);
    for (const std::string& text : {words, std::string(1 << 17, 'a')}) {
      int64_t num_asked = 0;
      const auto encode_until = [&](int64_t last) {
        num_asked = 0;
        StopSignal stop([&] { return ++num_asked == last; });
        return tokenizer->Encode(text, {.stop = &stop}).status();
      };
      EXPECT_TRUE(encode_until(-1).ok()) << name;
      const int64_t num_in_all = num_asked;
      ASSERT_GT(num_in_all, 32) << name;
      for (const int64_t last : {int64_t{1}, num_in_all / 2, num_in_all}) {
        EXPECT_TRUE(absl::IsCancelled(encode_until(last))) << name;
        EXPECT_EQ(num_asked, last) << name;
      }
    }
  }
}

TEST(BpeTokenizerTest, ThreadsShareOneTokenizer) {
  const auto tokenizer = LoadGoldenTokenizer("qwen2_like");
  const TokenizerGoldens goldens = LoadTokenizerGoldens("qwen2_like");
  std::vector<int> num_wrong(4);
  std::vector<std::thread> threads;
  for (int& wrong : num_wrong) {
    threads.emplace_back([&] {
      for (const TokenizerCase& golden : goldens.cases) {
        const auto encoding = tokenizer->Encode(golden.text, kPlain);
        wrong += !encoding.ok() || encoding->ids != golden.ids;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(num_wrong, std::vector<int>(4, 0));
}

// The vocabulary of single bytes 'a' to 'd', ids 0 to 3.
BpeTokenizerSpec TinySpec() {
  BpeTokenizerSpec spec;
  spec.model.vocab = {{"a", 0}, {"b", 1}, {"c", 2}, {"d", 3}};
  return spec;
}

TEST(BpeTokenizerTest, ContradictoryTokensAreRefused) {
  BpeTokenizerSpec taken = TinySpec();
  taken.added_tokens = {{.content = "<x>", .id = 2}};
  BpeTokenizerSpec empty = TinySpec();
  empty.added_tokens = {{.content = "", .id = 9}};
  BpeTokenizerSpec huge = TinySpec();
  huge.added_tokens = {{.content = "<x>", .id = 1 << 30}};
  BpeTokenizerSpec negative = TinySpec();
  negative.added_tokens = {{.content = "<x>", .id = -1}};
  BpeTokenizerSpec prefix = TinySpec();
  prefix.prefix_ids = {4};
  BpeTokenizerSpec eos = TinySpec();
  eos.eos_ids = {-7};
  for (BpeTokenizerSpec* spec :
       {&taken, &empty, &huge, &negative, &prefix, &eos}) {
    EXPECT_EQ(BpeTokenizer::Create(*spec).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

// The ids are those of Hugging Face's tokenizers 0.23.3.
TEST(BpeTokenizerTest, BytesOutsideTheVocabularyAreDroppedAndCounted) {
  BpeTokenizerSpec spec;
  spec.model.vocab = {{"a", 0}, {"b", 1}, {"ab", 2}, {"c", 3}};
  spec.model.merges = {{"a", "b"}};
  spec.pretokenizer.use_gpt2_pattern = false;
  struct Case {
    std::string text;
    std::vector<int32_t> ids;
    int64_t dropped;
    std::vector<ByteSpan> offsets;
  };
  const std::vector<Case> cases = {
      {"abe", {2}, 1, {{0, 3}}},
      {"eab", {2}, 1, {{0, 3}}},
      {"aeb", {2}, 1, {{0, 3}}},  // merged over the gap
      {"e", {}, 1, {}},
      {"", {}, 0, {}},
      {"a\xC3\xA9"
       "b",
       {2},
       2,
       {{0, 4}}},
      {"ab\x1d"
       "c",
       {2, 3},
       1,
       {{0, 3}, {3, 4}}},
  };
  for (const bool ignore_merges : {false, true}) {
    spec.model.ignore_merges = ignore_merges;
    const auto tokenizer = BpeTokenizer::Create(spec);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    for (const Case& expected : cases) {
      SCOPED_TRACE(testing::PrintToString(expected.text));
      const auto encoding = (*tokenizer)->Encode(expected.text, kPlain);
      ASSERT_TRUE(encoding.ok()) << encoding.status();
      EXPECT_EQ(encoding->ids, expected.ids);
      EXPECT_EQ(encoding->num_dropped_bytes, expected.dropped);
      EXPECT_EQ(encoding->offsets, expected.offsets);
    }
  }
}

TEST(BpeTokenizerTest, PlainTextNeverBecomesASpecialToken) {
  // With ignore_merges a whole piece that is in the vocabulary is one token.
  BpeTokenizerSpec spec;
  spec.model.vocab = {{"<", 0}, {"x", 1}, {">", 2}, {"<x>", 3}, {"x>", 4}};
  spec.model.ignore_merges = true;
  spec.pretokenizer.use_gpt2_pattern = false;
  spec.added_tokens = {
      {.content = "<x>", .id = 3, .normalized = false, .special = true}};
  const auto tokenizer = BpeTokenizer::Create(spec);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  using Ids = std::vector<int32_t>;
  EXPECT_EQ((*tokenizer)->Encode("<x>", {})->ids, Ids{3});
  EXPECT_EQ((*tokenizer)->Encode("<x>", {.parse_special_tokens = false})->ids,
            (Ids{0, 1, 2}));
  EXPECT_EQ((*tokenizer)->Encode("x>", {.parse_special_tokens = false})->ids,
            Ids{4});
}

}  // namespace
}  // namespace moe

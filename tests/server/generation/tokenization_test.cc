#include "server/generation/tokenization.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "server/generation/request_converter.h"
#include "server/text/bpe_tokenizer.h"
#include "tests/fakes/fake_engine.h"

namespace moe {
namespace {

using Ids = std::vector<int32_t>;

// The vocabulary 'a', 'b', '<', '>' and the special token "<b>", put before
// every text.
class TokenizationTest : public testing::Test {
 protected:
  TokenizationTest() {
    BpeTokenizerSpec spec;
    spec.model.vocab = {{"a", 0}, {"b", 1}, {"<", 2}, {">", 3}};
    spec.added_tokens = {
        {.content = "<b>", .id = 4, .normalized = false, .special = true}};
    spec.prefix_ids = {4};
    tokenizer_ = *BpeTokenizer::Create(spec);
    model_ = FakeServedModel(engine_, tokenizer_.get());
  }

  // Both requests get the same ids.
  Ids Encode(bool add, bool parse, bool set = true) {
    v1::TokenizeRequest tokenize;
    tokenize.set_text("a<b>");
    v1::GenerateRequest generate;
    generate.set_text("a<b>");
    if (set) {
      tokenize.set_add_special_tokens(add);
      tokenize.set_parse_special_tokens(parse);
      generate.set_add_special_tokens(add);
      generate.set_parse_special_tokens(parse);
    }
    const auto response = Tokenize(model_, tokenize, nullptr);
    EXPECT_TRUE(response.ok()) << response.status();
    if (!response.ok()) return {};
    const Ids ids(response->token_ids().begin(), response->token_ids().end());
    const auto converted = ConvertRequest(generate, model_);
    EXPECT_TRUE(converted.ok()) << converted.status();
    if (!converted.ok()) return {};
    EXPECT_EQ(converted->request.prompt, ids);
    return ids;
  }

  FakeEngine engine_;
  std::unique_ptr<Tokenizer> tokenizer_;
  ServedModel model_;
};

TEST_F(TokenizationTest, SpecialTokensAreAddedAndParsedUnlessForbidden) {
  EXPECT_EQ(Encode(false, false, /*set=*/false), (Ids{4, 0, 4}));
  EXPECT_EQ(Encode(true, true), (Ids{4, 0, 4}));
  EXPECT_EQ(Encode(false, true), (Ids{0, 4}));
  EXPECT_EQ(Encode(true, false), (Ids{4, 0, 2, 1, 3}));
  EXPECT_EQ(Encode(false, false), (Ids{0, 2, 1, 3}));
}

TEST_F(TokenizationTest, DroppedBytesAreCounted) {
  v1::TokenizeRequest tokenize;
  tokenize.set_text("a\x1d?b");
  const auto response = Tokenize(model_, tokenize, nullptr);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->dropped_bytes(), 2u);
  EXPECT_EQ(response->token_ids_size(), 3);
  v1::GenerateRequest generate;
  generate.set_text("a\x1d?b");
  const auto converted = ConvertRequest(generate, model_);
  ASSERT_TRUE(converted.ok()) << converted.status();
  EXPECT_EQ(converted->num_dropped_bytes, 2);
}

TEST_F(TokenizationTest, APromptThatIsDroppedAltogetherIsRefused) {
  v1::GenerateRequest generate;
  generate.set_text("??");
  generate.set_add_special_tokens(false);
  const absl::Status status = ConvertRequest(generate, model_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(),
                                "has no bytes for which the vocabulary"))
      << status;
}

}  // namespace
}  // namespace moe

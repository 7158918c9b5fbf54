#include "server/chunks/chunk_splitter.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/string_view.h"
#include "server/chunks/response_builder.h"
#include "server/text/utf8.h"

namespace moe {
namespace {

constexpr int64_t kMaxBytes = 64 << 10;

void AddTokens(int number,
               google::protobuf::RepeatedPtrField<v1::Token>* tokens) {
  for (int i = 0; i < number; ++i) {
    v1::Token* token = tokens->Add();
    token->set_id(1 << 20);
    token->set_logprob(-1);
    token->set_rank(i);
    for (int j = 0; j < 20; ++j) token->add_top()->set_token_id(i + j);
  }
}

std::string Repeat(const std::string& text, int number) {
  std::string all;
  for (int i = 0; i < number; ++i) all += text;
  return all;
}

// Long in every way.
v1::GenerateChunk LongChunk() {
  v1::GenerateChunk chunk;
  chunk.set_request_id("id");
  chunk.mutable_prompt()->set_num_tokens(3000);
  AddTokens(3000, chunk.mutable_prompt()->mutable_tokens());
  chunk.mutable_prompt()->set_text(Repeat("\xE2\x82\xAC", 50000));
  chunk.set_index(2);
  AddTokens(2000, chunk.mutable_tokens());
  chunk.set_text(Repeat("\xF0\x9F\x8C\x8A.", 30000));
  chunk.mutable_finish()->set_reason(v1::Finish::LENGTH);
  chunk.mutable_usage()->set_completion_tokens(2000);
  return chunk;
}

std::string Join(const std::vector<v1::GenerateChunk>& parts) {
  ResponseBuilder builder;
  for (const v1::GenerateChunk& part : parts) builder.Add(part);
  return builder.response().SerializeAsString();
}

TEST(ChunkSplitterTest, PartsAreShortAndJoinToTheWhole) {
  const v1::GenerateChunk chunk = LongChunk();
  const auto parts = SplitChunk(chunk, kMaxBytes);
  ASSERT_GT(parts.size(), 4u);
  EXPECT_EQ(Join(parts), Join({chunk}));
  bool output_has_begun = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    const v1::GenerateChunk& part = parts[i];
    EXPECT_LE(static_cast<int64_t>(part.ByteSizeLong()), kMaxBytes);
    EXPECT_EQ(part.request_id(), i == 0 ? "id" : "");
    EXPECT_EQ(part.prompt().num_tokens(), i == 0 ? 3000u : 0u);
    EXPECT_EQ(part.has_finish(), i + 1 == parts.size());
    for (const std::string& text : {part.text(), part.prompt().text()}) {
      EXPECT_EQ(FindInvalidUtf8(text), absl::string_view::npos);
    }
    EXPECT_FALSE(output_has_begun && part.has_prompt());
    if (part.text().empty() && part.tokens().empty()) continue;
    output_has_begun = true;
    EXPECT_EQ(part.index(), 2u);
    EXPECT_EQ(part.usage().completion_tokens(), 2000u);
  }
}

TEST(ChunkSplitterTest, ExpertUsageIsCutBetweenLayers) {
  v1::GenerateChunk chunk;
  chunk.mutable_timing()->set_total_seconds(2);
  for (int i = 0; i < 64; ++i) {
    auto* layer = chunk.mutable_expert_usage()->add_layers();
    layer->set_layer(i);
    for (int j = 0; j < 512; ++j) layer->add_tokens_by_expert(1 << 30);
  }
  const auto parts = SplitChunk(chunk, kMaxBytes);
  EXPECT_GT(parts.size(), 1u);
  EXPECT_EQ(Join(parts), Join({chunk}));
  for (const v1::GenerateChunk& part : parts) {
    EXPECT_LE(static_cast<int64_t>(part.ByteSizeLong()), kMaxBytes);
  }
}

TEST(ChunkSplitterTest, AShortChunkStaysAsItIs) {
  v1::GenerateChunk chunk;
  chunk.set_text("a");
  chunk.mutable_prompt()->set_num_tokens(1);
  const auto parts = SplitChunk(chunk, kMaxBytes);
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].SerializeAsString(), chunk.SerializeAsString());
}

}  // namespace
}  // namespace moe

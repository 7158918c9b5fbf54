#include "server/chunks/response_builder.h"

#include <gtest/gtest.h>

#include <string>

namespace moe {
namespace {

v1::GenerateChunk Chunk(uint32_t index, const std::string& text) {
  v1::GenerateChunk chunk;
  chunk.set_index(index);
  chunk.set_text(text);
  chunk.add_tokens()->set_id(text[0]);
  return chunk;
}

TEST(ResponseBuilderTest, ChunksOfInterleavedAnswersAreJoinedByIndex) {
  ResponseBuilder builder;
  v1::GenerateChunk first = Chunk(1, "b");
  first.set_request_id("id");
  first.mutable_prompt()->set_num_tokens(3);
  builder.Add(first);
  builder.Add(Chunk(0, "x"));
  v1::GenerateChunk last = Chunk(1, "c");
  last.mutable_finish()->set_reason(v1::Finish::STOP);
  builder.Add(last);
  const v1::GenerateResponse& response = builder.response();
  EXPECT_EQ(response.request_id(), "id");
  EXPECT_EQ(response.prompt().num_tokens(), 3u);
  ASSERT_EQ(response.answers_size(), 2);
  EXPECT_EQ(response.answers(0).index(), 0u);
  EXPECT_EQ(response.answers(0).text(), "x");
  EXPECT_FALSE(response.answers(0).has_finish());
  EXPECT_EQ(response.answers(1).index(), 1u);
  EXPECT_EQ(response.answers(1).text(), "bc");
  EXPECT_EQ(response.answers(1).tokens_size(), 2);
  EXPECT_EQ(response.answers(1).finish().reason(), v1::Finish::STOP);
}

TEST(ResponseBuilderTest, TheLastChunkBelongsToNoAnswer) {
  ResponseBuilder builder;
  v1::GenerateChunk last;
  last.mutable_timing()->set_total_seconds(2);
  last.mutable_expert_usage()->add_layers()->set_layer(1);
  builder.Add(last);
  EXPECT_EQ(builder.response().answers_size(), 0);
  EXPECT_EQ(builder.response().timing().total_seconds(), 2);
  EXPECT_EQ(builder.response().expert_usage().layers_size(), 1);
}

}  // namespace
}  // namespace moe

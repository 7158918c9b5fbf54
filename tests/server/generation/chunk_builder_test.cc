#include "server/generation/chunk_builder.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/fakes/fake_engine.h"

namespace moe {
namespace {

class ChunkBuilderTest : public testing::Test {
 protected:
  ChunkBuilderTest() { proto_.set_text("hi"); }

  void Start() {
    auto converted = ConvertRequest(proto_, model_);
    ASSERT_TRUE(converted.ok()) << converted.status();
    builder_.emplace("id-1", *converted, model_);
  }

  bool Token(int32_t id, int32_t index = 0) {
    TokenEvent event;
    event.index = index;
    event.token.token_id = id;
    return builder_->AddToken(event);
  }
  bool Text(const std::string& text, int32_t index = 0) {
    bool stopped = false;
    for (const char c : text) {
      stopped |= Token(static_cast<unsigned char>(c), index);
    }
    return stopped;
  }
  void Last(int32_t id, FinishReason reason, int32_t index = 0) {
    TokenEvent event;
    event.index = index;
    event.token.token_id = id;
    event.finish = SequenceFinish{reason, std::nullopt};
    if (reason == FinishReason::kStop) event.finish->stop_token_id = id;
    EXPECT_FALSE(builder_->AddToken(event));
  }

  // The only chunk.
  v1::GenerateChunk Take() {
    std::vector<v1::GenerateChunk> chunks = builder_->Take();
    EXPECT_EQ(chunks.size(), 1u);
    return chunks.empty() ? v1::GenerateChunk() : chunks.front();
  }
  static std::vector<int32_t> Ids(const v1::GenerateChunk& chunk) {
    std::vector<int32_t> ids;
    for (const v1::Token& token : chunk.tokens()) ids.push_back(token.id());
    return ids;
  }

  FakeEngine engine_;
  ByteTokenizer tokenizer_;
  ServedModel model_ = FakeServedModel(engine_, &tokenizer_);
  v1::GenerateRequest proto_;
  std::optional<ChunkBuilder> builder_;
};

TEST_F(ChunkBuilderTest, TheFirstChunkCarriesIdAndPrompt) {
  Start();
  builder_->AddPrompt({});
  EXPECT_TRUE(builder_->Take().empty());
  Text("a");
  const v1::GenerateChunk first = Take();
  EXPECT_EQ(first.request_id(), "id-1");
  EXPECT_EQ(first.prompt().num_tokens(), 2u);
  EXPECT_EQ(first.prompt().tokens_size(), 0);
  EXPECT_EQ(first.text(), "a");
  Text("b");
  const v1::GenerateChunk second = Take();
  EXPECT_EQ(second.request_id(), "");
  EXPECT_FALSE(second.has_prompt());
  EXPECT_EQ(second.text(), "b");
}

TEST_F(ChunkBuilderTest, TokensBetweenTwoTakesShareAChunk) {
  proto_.mutable_output()->set_token_ids(true);
  Start();
  Text("abc");
  const v1::GenerateChunk chunk = Take();
  EXPECT_EQ(chunk.text(), "abc");
  EXPECT_EQ(Ids(chunk), (std::vector<int32_t>{'a', 'b', 'c'}));
  EXPECT_TRUE(builder_->Take().empty());
}

TEST_F(ChunkBuilderTest, HalfCharactersWaitForTheirRest) {
  proto_.mutable_output()->set_token_ids(true);
  Start();
  Token(0xC3);
  EXPECT_TRUE(builder_->Take().empty());
  Token(0xA9);
  const v1::GenerateChunk chunk = Take();
  EXPECT_EQ(chunk.text(), "\xC3\xA9");
  EXPECT_EQ(Ids(chunk), (std::vector<int32_t>{0xC3, 0xA9}));
}

TEST_F(ChunkBuilderTest, AnUnfinishedCharacterAtTheEndIsReplaced) {
  Start();
  Last(0xC3, FinishReason::kLength);
  const v1::GenerateChunk chunk = Take();
  EXPECT_EQ(chunk.text(), "\xEF\xBF\xBD");
  EXPECT_EQ(chunk.finish().reason(), v1::Finish::LENGTH);
}

TEST_F(ChunkBuilderTest, AStopStringAcrossTokensIsCutOff) {
  proto_.mutable_stopping()->add_stop("END");
  proto_.mutable_output()->set_token_ids(true);
  Start();
  EXPECT_FALSE(Text("abE"));
  v1::GenerateChunk chunk = Take();
  EXPECT_EQ(chunk.text(), "ab");
  EXPECT_EQ(Ids(chunk), (std::vector<int32_t>{'a', 'b'}));
  EXPECT_FALSE(Text("N"));
  EXPECT_TRUE(builder_->Take().empty());
  EXPECT_TRUE(Text("D"));
  chunk = Take();
  EXPECT_EQ(chunk.text(), "");
  EXPECT_EQ(chunk.tokens_size(), 0);
  EXPECT_EQ(chunk.finish().reason(), v1::Finish::STOP);
  EXPECT_EQ(chunk.finish().stop_string(), "END");
  EXPECT_EQ(chunk.finish().usage().completion_tokens(), 5u);
  EXPECT_TRUE(builder_->all_finished());
  EXPECT_FALSE(Text("more"));
  EXPECT_TRUE(builder_->Take().empty());
}

TEST_F(ChunkBuilderTest, IncludeStopKeepsTheStopString) {
  proto_.mutable_stopping()->add_stop("END");
  proto_.mutable_stopping()->set_include_stop(true);
  proto_.mutable_output()->set_token_ids(true);
  Start();
  EXPECT_TRUE(Text("aEND"));
  const v1::GenerateChunk chunk = Take();
  EXPECT_EQ(chunk.text(), "aEND");
  EXPECT_EQ(Ids(chunk), (std::vector<int32_t>{'a', 'E', 'N', 'D'}));
}

TEST_F(ChunkBuilderTest, WhatOnlyLookedLikeAStopStringIsShown) {
  proto_.mutable_stopping()->add_stop("END");
  Start();
  Text("EN");
  EXPECT_TRUE(builder_->Take().empty());
  Text("x");
  EXPECT_EQ(Take().text(), "ENx");
  Text("EN");
  Last('!', FinishReason::kLength);
  EXPECT_EQ(Take().text(), "EN!");
}

TEST_F(ChunkBuilderTest, HeldBackTextIsShownWhenTheAnswerEnds) {
  proto_.mutable_stopping()->add_stop("END");
  proto_.mutable_output()->set_token_ids(true);
  Start();
  Text("E");
  Last('N', FinishReason::kLength);
  const v1::GenerateChunk chunk = Take();
  EXPECT_EQ(chunk.text(), "EN");
  EXPECT_EQ(Ids(chunk), (std::vector<int32_t>{'E', 'N'}));
}

TEST_F(ChunkBuilderTest, StopStringsAreNotSearchedBeforeMinNewTokens) {
  proto_.mutable_stopping()->add_stop("ab");
  proto_.mutable_stopping()->set_min_new_tokens(2);
  Start();
  EXPECT_FALSE(Text("ab"));
  EXPECT_TRUE(Text("ab"));
  EXPECT_EQ(Take().text(), "ab");
}

TEST_F(ChunkBuilderTest, StopTokensAreCutOffUnlessIncluded) {
  proto_.mutable_output()->set_token_ids(true);
  for (const bool include : {false, true}) {
    proto_.mutable_stopping()->set_include_stop(include);
    proto_.mutable_stopping()->clear_stop_token_ids();
    proto_.mutable_stopping()->add_stop_token_ids('.');
    Start();
    Text("a");
    Last('.', FinishReason::kStop);
    const v1::GenerateChunk chunk = Take();
    EXPECT_EQ(chunk.text(), include ? "a." : "a");
    EXPECT_EQ(chunk.tokens_size(), include ? 2 : 1);
    EXPECT_EQ(chunk.finish().stop_token_id(), uint32_t{'.'});
    EXPECT_EQ(chunk.finish().usage().completion_tokens(), 2u);
  }
}

TEST_F(ChunkBuilderTest, TheModelsOwnEndIsToldApart) {
  Start();
  Text("a");
  Last(ByteTokenizer::kEos, FinishReason::kStop);
  const v1::GenerateChunk chunk = Take();
  EXPECT_EQ(chunk.text(), "a");
  EXPECT_EQ(chunk.finish().matched_case(), v1::Finish::kEosTokenId);
}

TEST_F(ChunkBuilderTest, AnswersFinishOneByOne) {
  proto_.mutable_sampling()->set_n(2);
  Start();
  Text("x", 1);
  Text("a", 0);
  const auto chunks = builder_->Take();
  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_EQ(chunks[0].index(), 0u);
  EXPECT_TRUE(chunks[0].has_prompt());
  EXPECT_EQ(chunks[1].index(), 1u);
  EXPECT_EQ(chunks[1].text(), "x");
  EXPECT_FALSE(chunks[1].has_prompt());
  Last('y', FinishReason::kLength, 1);
  EXPECT_FALSE(builder_->all_finished());
  EXPECT_EQ(builder_->FinishReasons(), "none,length");
  Last('b', FinishReason::kLength, 0);
  EXPECT_TRUE(builder_->all_finished());
  EXPECT_EQ(builder_->num_new_tokens(), 4);
}

TEST_F(ChunkBuilderTest, LogprobsComeWithTheirTokens) {
  proto_.mutable_output()->set_logprobs(1);
  proto_.mutable_output()->set_prompt_logprobs(0);
  Start();
  PromptEvent prompt;
  prompt.logprobs.resize(2);
  prompt.logprobs[0].token_id = 'h';
  prompt.logprobs[0].logprob.logprob = std::numeric_limits<float>::quiet_NaN();
  prompt.logprobs[1].token_id = 'i';
  prompt.logprobs[1].logprob = {'i', -2.5f, 4};
  builder_->AddPrompt(prompt);
  TokenEvent event;
  event.token.token_id = 'a';
  event.token.logprob = {'a', -0.5f, 2};
  event.token.top = {{'b', -0.25f, 1}};
  builder_->AddToken(event);
  const v1::GenerateChunk chunk = Take();
  ASSERT_EQ(chunk.prompt().tokens_size(), 2);
  EXPECT_FALSE(chunk.prompt().tokens(0).has_logprob());
  EXPECT_EQ(chunk.prompt().tokens(1).logprob(), -2.5f);
  EXPECT_EQ(chunk.prompt().tokens(1).rank(), 4u);
  ASSERT_EQ(chunk.tokens_size(), 1);
  EXPECT_EQ(chunk.tokens(0).logprob(), -0.5f);
  EXPECT_EQ(chunk.tokens(0).rank(), 2u);
  ASSERT_EQ(chunk.tokens(0).top_size(), 1);
  EXPECT_EQ(chunk.tokens(0).top(0).token_id(), uint32_t{'b'});
}

TEST_F(ChunkBuilderTest, WithoutTextStopStringsStillEndTheAnswer) {
  proto_.mutable_output()->set_text(false);
  proto_.mutable_stopping()->add_stop("END");
  Start();
  EXPECT_TRUE(Text("aEND"));
  const v1::GenerateChunk chunk = Take();
  EXPECT_EQ(chunk.text(), "");
  EXPECT_EQ(Ids(chunk), std::vector<int32_t>{'a'});
  EXPECT_EQ(chunk.finish().stop_string(), "END");
}

TEST_F(ChunkBuilderTest, EchoGivesThePromptsTextAndTokens) {
  proto_.mutable_output()->set_echo(true);
  Start();
  Text("a");
  const v1::GenerateChunk chunk = Take();
  EXPECT_EQ(chunk.prompt().text(), "hi");
  ASSERT_EQ(chunk.prompt().tokens_size(), 2);
  EXPECT_EQ(chunk.prompt().tokens(1).id(), uint32_t{'i'});
}

TEST_F(ChunkBuilderTest, TokensHaveTheirBytesWithLogprobsOnly) {
  for (const bool with_logprobs : {false, true}) {
    proto_.mutable_output()->set_token_ids(true);
    if (with_logprobs) {
      proto_.mutable_output()->set_logprobs(1);
      proto_.mutable_output()->set_prompt_logprobs(0);
    }
    Start();
    PromptEvent prompt;
    prompt.logprobs.resize(1);
    prompt.logprobs[0].token_id = 'h';
    builder_->AddPrompt(prompt);
    TokenEvent event;
    event.token.token_id = 'a';
    event.token.top = {{.token_id = 0xE9, .logprob = -1, .rank = 1}};
    builder_->AddToken(event);
    const v1::GenerateChunk chunk = Take();
    ASSERT_EQ(chunk.tokens_size(), 1);
    EXPECT_EQ(chunk.tokens(0).bytes(), with_logprobs ? "a" : "");
    ASSERT_EQ(chunk.tokens(0).top_size(), with_logprobs ? 1 : 0);
    if (!with_logprobs) continue;
    EXPECT_EQ(chunk.tokens(0).top(0).bytes(), "\xE9");
    ASSERT_EQ(chunk.prompt().tokens_size(), 1);
    EXPECT_EQ(chunk.prompt().tokens(0).bytes(), "h");
  }
}

TEST_F(ChunkBuilderTest, DroppedBytesOfThePromptAreCounted) {
  auto converted = ConvertRequest(proto_, model_);
  ASSERT_TRUE(converted.ok()) << converted.status();
  converted->num_dropped_bytes = 3;
  builder_.emplace("id-1", *converted, model_);
  Text("a");
  EXPECT_EQ(Take().prompt().dropped_bytes(), 3u);
}

TEST_F(ChunkBuilderTest, UsageComesWithEachChunkIfAsked) {
  proto_.mutable_output()->set_usage_per_chunk(true);
  Start();
  Text("ab");
  EXPECT_EQ(Take().usage().completion_tokens(), 2u);
  Text("c");
  EXPECT_EQ(Take().usage().completion_tokens(), 3u);
}

TEST_F(ChunkBuilderTest, ExpertUsageOfMoeLayersComesAtTheEnd) {
  proto_.mutable_output()->set_expert_usage(true);
  Start();
  RequestExpertLoad load;
  load.rows_by_expert = {{}, {3, 4}, {}, {0, 7}};
  builder_->AddExpertLoad(load);
  Last('a', FinishReason::kLength);
  EXPECT_EQ(builder_->Take().size(), 1u);
  builder_->AddTiming({});
  const auto chunks = builder_->Take();
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_FALSE(chunks[0].has_timing());
  const v1::ExpertUsage& usage = chunks[0].expert_usage();
  ASSERT_EQ(usage.layers_size(), 2);
  EXPECT_EQ(usage.layers(0).layer(), 1u);
  EXPECT_EQ(usage.layers(0).tokens_by_expert(1), 4u);
  EXPECT_EQ(usage.layers(1).layer(), 3u);
  EXPECT_EQ(usage.layers(1).tokens_by_expert(0), 0u);
}

TEST_F(ChunkBuilderTest, ExpertUsageIsNotSentUnasked) {
  Start();
  builder_->AddExpertLoad({});
  Last('a', FinishReason::kLength);
  builder_->AddTiming({});
  EXPECT_EQ(builder_->Take().size(), 1u);
}

TEST_F(ChunkBuilderTest, TimingIsTheLastChunk) {
  proto_.mutable_output()->set_timing(true);
  Start();
  Last('a', FinishReason::kLength);
  RequestTiming timing;
  timing.submitted = absl::UnixEpoch();
  timing.scheduled = timing.submitted + absl::Seconds(1);
  timing.first_token = timing.submitted + absl::Seconds(2);
  timing.finished = timing.submitted + absl::Seconds(4);
  timing.preemptions = 3;
  builder_->AddTiming(timing);
  const auto chunks = builder_->Take();
  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_EQ(chunks[1].timing().queue_seconds(), 1);
  EXPECT_EQ(chunks[1].timing().time_to_first_token_seconds(), 2);
  EXPECT_EQ(chunks[1].timing().total_seconds(), 4);
  EXPECT_EQ(chunks[1].timing().preemptions(), 3u);
}

}  // namespace
}  // namespace moe

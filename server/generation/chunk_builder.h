#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/runtime/engine.h"
#include "proto/moe/v1/generation.pb.h"
#include "server/generation/answer_builder.h"
#include "server/generation/request_converter.h"
#include "server/generation/served_model.h"

namespace moe {

// Turns what the engine tells of a request into the chunks of its stream.
// Tokens that have come between two calls of Take share a chunk. Not
// thread-safe. `model` must outlive it.
class ChunkBuilder {
 public:
  // `request_id`: as the client knows it.
  ChunkBuilder(std::string request_id, const ConvertedRequest& converted,
               const ServedModel& model);
  ChunkBuilder(const ChunkBuilder&) = delete;
  ChunkBuilder& operator=(const ChunkBuilder&) = delete;

  void AddPrompt(const PromptEvent& event);
  // True if a stop string has ended the answer: the engine must be told.
  bool AddToken(const TokenEvent& event);
  void AddExpertLoad(const RequestExpertLoad& load);
  // To be called last, if the request has ended well.
  void AddTiming(const RequestTiming& timing);

  // One chunk for each answer that has news, then one for timing and expert
  // usage.
  std::vector<v1::GenerateChunk> Take();

  bool all_finished() const { return num_unfinished_ == 0; }
  int64_t num_prompt_tokens() const { return num_prompt_tokens_; }
  int64_t num_new_tokens() const;  // of all answers
  // "length", "stop" or "none" of each answer, joined by commas.
  std::string FinishReasons() const;

 private:
  const AnswerOptions options_;
  const ServedModel& model_;
  const int64_t num_prompt_tokens_;
  std::vector<AnswerBuilder> answers_;
  int32_t num_unfinished_;
  bool with_prompt_logprobs_ = false;
  // The head of the stream; unset once it has been sent.
  std::optional<v1::GenerateChunk> head_;
  std::optional<v1::Timing> timing_;
  std::optional<v1::ExpertUsage> expert_usage_;
  bool ended_well_ = false;
};

}  // namespace moe

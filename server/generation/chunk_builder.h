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

// Turns the engine's events of one request into the chunks of its stream.
// Tokens that arrive between two calls of Take share a chunk. Not thread-safe.
// Borrows `model`.
class ChunkBuilder {
 public:
  // `request_id`: the client's.
  ChunkBuilder(std::string request_id, const ConvertedRequest& converted,
               const ServedModel& model);
  ChunkBuilder(const ChunkBuilder&) = delete;
  ChunkBuilder& operator=(const ChunkBuilder&) = delete;

  void AddPrompt(const PromptEvent& event);
  // True if a stop string ended the answer: the caller must then cancel the
  // answer in the engine.
  bool AddToken(const TokenEvent& event);
  void AddExpertLoad(const RequestExpertLoad& load);
  // The last call, for a request that ended OK.
  void AddTiming(const RequestTiming& timing);

  // One chunk for each answer with new output, then one for timing and expert
  // usage. A chunk that is longer than clients or the server accept is cut.
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
  // Request id and prompt, for the first chunk; unset once sent.
  std::optional<v1::GenerateChunk> head_;
  std::optional<v1::Timing> timing_;
  std::optional<v1::ExpertUsage> expert_usage_;
  bool ended_ok_ = false;
};

}  // namespace moe

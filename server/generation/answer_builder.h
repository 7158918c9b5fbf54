#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "engine/runtime/engine.h"
#include "proto/moe/v1/generation.pb.h"
#include "server/generation/request_converter.h"
#include "server/generation/served_model.h"
#include "server/text/incremental_detokenizer.h"
#include "server/text/stop_strings.h"

namespace moe {

// The proto of a token; if `with_logprob`, with logprobs and, unless
// `tokenizer` is null, the tokens' bytes.
v1::Token ToProto(const SampledToken& token, bool with_logprob,
                  const Tokenizer* tokenizer);

// Turns the tokens of one answer into its text and tokens. Holds back text that
// may become a stop string, together with its tokens. Not thread-safe. Borrows
// `options` and `model`.
class AnswerBuilder {
 public:
  AnswerBuilder(int32_t index, const AnswerOptions& options,
                const ServedModel& model, int64_t num_prompt_tokens,
                bool with_logprobs);

  // Ignores tokens after the answer has finished. True if this token completed
  // a stop string; the engine does not search for those.
  bool Append(const TokenEvent& event);

  bool finished() const { return finish_.has_value(); }
  const std::optional<v1::Finish>& finish() const { return finish_; }
  int64_t num_tokens() const { return num_tokens_; }

  // True if there are text, tokens or a finish since the last Take.
  bool HasOutput() const;
  // Moves them into a chunk of this answer.
  v1::GenerateChunk Take();

 private:
  struct HeldToken {
    v1::Token token;
    int64_t begin;  // the token's bytes in the answer's text: [begin, end)
    int64_t end;
  };

  bool AppendText(int32_t token_id, HeldToken& held);
  // Passes `piece` through the search for stop strings; true if one is found.
  bool Show(const std::string& piece);
  void Hold(HeldToken held);
  void ReleaseTokens();
  void FinishByEngine(const SequenceFinish& finish);
  void FinishByStopString();
  v1::Usage usage() const;

  const AnswerOptions& options_;
  const ServedModel& model_;
  const int32_t index_;
  const int64_t num_prompt_tokens_;
  const bool with_logprobs_;
  std::optional<IncrementalDetokenizer> detokenizer_;
  std::optional<StopStrings> stops_;

  int64_t num_tokens_ = 0;      // of the answer so far
  int64_t produced_bytes_ = 0;  // by the detokenizer
  int64_t shown_bytes_ = 0;     // of these, not held back
  std::deque<HeldToken> held_;
  // Since the last Take.
  std::string text_;
  std::vector<v1::Token> tokens_;
  bool finish_is_new_ = false;
  std::optional<v1::Finish> finish_;
};

}  // namespace moe

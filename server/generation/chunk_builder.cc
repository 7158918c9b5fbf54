#include "server/generation/chunk_builder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/chunks/chunk_splitter.h"
#include "server/text/incremental_detokenizer.h"

namespace moe {

ChunkBuilder::ChunkBuilder(std::string request_id,
                           const ConvertedRequest& converted,
                           const ServedModel& model)
    : options_(converted.options),
      model_(model),
      num_prompt_tokens_(converted.request.prompt.size()),
      num_unfinished_(options_.num_answers),
      with_prompt_logprobs_(converted.request.sampling.num_prompt_logprobs >=
                            0) {
  answers_.reserve(options_.num_answers);
  for (int32_t i = 0; i < options_.num_answers; ++i) {
    answers_.emplace_back(i, options_, model_, num_prompt_tokens_,
                          converted.request.sampling.num_logprobs >= 0);
  }
  v1::GenerateChunk& head = head_.emplace();
  head.set_request_id(std::move(request_id));
  v1::PromptInfo& prompt = *head.mutable_prompt();
  prompt.set_num_tokens(num_prompt_tokens_);
  prompt.set_dropped_bytes(static_cast<uint64_t>(converted.num_dropped_bytes));
  if (options_.prompt_tokens) {
    for (const int32_t id : converted.request.prompt) {
      prompt.add_tokens()->set_id(id);
    }
  }
  if (options_.echo && model_.tokenizer != nullptr) {
    IncrementalDetokenizer text(*model_.tokenizer,
                                /*skip_special_tokens=*/true);
    for (const int32_t id : converted.request.prompt) {
      prompt.mutable_text()->append(text.Append(id));
    }
    prompt.mutable_text()->append(text.Finish());
  }
}

void ChunkBuilder::AddPrompt(const PromptEvent& event) {
  if (!with_prompt_logprobs_ || !head_.has_value()) return;
  v1::PromptInfo& prompt = *head_->mutable_prompt();
  prompt.clear_tokens();
  for (const SampledToken& token : event.logprobs) {
    *prompt.add_tokens() =
        ToProto(token, /*with_logprob=*/true, model_.tokenizer);
  }
}

bool ChunkBuilder::AddToken(const TokenEvent& event) {
  AnswerBuilder& answer = answers_[event.index];
  if (answer.finished()) return false;
  const bool stopped = answer.Append(event);
  if (answer.finished()) --num_unfinished_;
  return stopped && !event.finish.has_value();
}

void ChunkBuilder::AddExpertLoad(const RequestExpertLoad& load) {
  if (!options_.expert_usage) return;
  v1::ExpertUsage& usage = expert_usage_.emplace();
  for (size_t layer = 0; layer < load.rows_by_expert.size(); ++layer) {
    const std::vector<int64_t>& rows = load.rows_by_expert[layer];
    if (rows.empty()) continue;  // dense
    v1::ExpertUsage::MoeLayer& out = *usage.add_layers();
    out.set_layer(layer);
    out.mutable_tokens_by_expert()->Add(rows.begin(), rows.end());
  }
}

void ChunkBuilder::AddTiming(const RequestTiming& timing) {
  ended_ok_ = true;
  if (!options_.timing) return;
  v1::Timing& out = timing_.emplace();
  const auto since_submission = [&timing](absl::Time time) {
    return absl::ToDoubleSeconds(time - timing.submitted);
  };
  out.set_queue_seconds(since_submission(timing.scheduled));
  out.set_time_to_first_token_seconds(since_submission(timing.first_token));
  out.set_total_seconds(since_submission(timing.finished));
  out.set_preemptions(timing.preemptions);
}

std::vector<v1::GenerateChunk> ChunkBuilder::Take() {
  std::vector<v1::GenerateChunk> chunks;
  for (AnswerBuilder& answer : answers_) {
    if (answer.HasOutput()) chunks.push_back(answer.Take());
  }
  if (ended_ok_ && (timing_.has_value() || expert_usage_.has_value())) {
    v1::GenerateChunk& last = chunks.emplace_back();
    if (timing_.has_value()) *last.mutable_timing() = *timing_;
    if (expert_usage_.has_value()) {
      *last.mutable_expert_usage() = *expert_usage_;
    }
    timing_.reset();
    expert_usage_.reset();
  }
  if (!chunks.empty() && head_.has_value()) {
    chunks.front().set_request_id(head_->request_id());
    chunks.front().mutable_prompt()->Swap(head_->mutable_prompt());
    head_.reset();
  }
  const int64_t max_bytes =
      std::min(kMaxChunkBytes, model_.limits.max_message_bytes);
  std::vector<v1::GenerateChunk> parts;
  for (v1::GenerateChunk& chunk : chunks) {
    for (v1::GenerateChunk& part : SplitChunk(std::move(chunk), max_bytes)) {
      parts.push_back(std::move(part));
    }
  }
  return parts;
}

int64_t ChunkBuilder::num_new_tokens() const {
  int64_t num_tokens = 0;
  for (const AnswerBuilder& answer : answers_) {
    num_tokens += answer.num_tokens();
  }
  return num_tokens;
}

std::string ChunkBuilder::FinishReasons() const {
  std::string reasons;
  for (const AnswerBuilder& answer : answers_) {
    const char* reason = "none";
    if (answer.finished()) {
      reason =
          answer.finish()->reason() == v1::Finish::STOP ? "stop" : "length";
    }
    absl::StrAppend(&reasons, reasons.empty() ? "" : ",", reason);
  }
  return reasons;
}

}  // namespace moe

#include "server/generation/answer_builder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "server/text/tokenizer.h"

namespace moe {
namespace {

bool Contains(const std::vector<int32_t>& set, int32_t id) {
  return std::binary_search(set.begin(), set.end(), id);
}

}  // namespace

v1::Token ToProto(const SampledToken& token, bool with_logprob,
                  const Tokenizer* tokenizer) {
  const auto set_bytes = [tokenizer](int32_t id, auto& proto) {
    if (tokenizer == nullptr) return;
    const absl::string_view bytes = tokenizer->TokenBytes(id);
    proto.set_bytes(bytes.data(), bytes.size());
  };
  v1::Token out;
  out.set_id(token.token_id);
  if (with_logprob) set_bytes(token.token_id, out);
  // The first token of a prompt has no logprob.
  if (!with_logprob || std::isnan(token.logprob.logprob)) return out;
  out.set_logprob(token.logprob.logprob);
  out.set_rank(token.logprob.rank);
  for (const TokenLogprob& top : token.top) {
    v1::TokenLogprob* entry = out.add_top();
    entry->set_token_id(top.token_id);
    entry->set_logprob(top.logprob);
    entry->set_rank(top.rank);
    set_bytes(top.token_id, *entry);
  }
  return out;
}

AnswerBuilder::AnswerBuilder(int32_t index, const AnswerOptions& options,
                             const ServedModel& model,
                             int64_t num_prompt_tokens, bool with_logprobs)
    : options_(options),
      model_(model),
      index_(index),
      num_prompt_tokens_(num_prompt_tokens),
      with_logprobs_(with_logprobs),
      stops_(options.stop_finder) {
  if (model.tokenizer != nullptr && (options.text || stops_.has_value())) {
    detokenizer_.emplace(*model.tokenizer, /*skip_special_tokens=*/true);
  }
}

bool AnswerBuilder::Append(const TokenEvent& event) {
  if (finished()) return false;
  ++num_tokens_;
  const bool is_stop_token =
      event.finish.has_value() && event.finish->stop_token_id.has_value();
  if (!is_stop_token || options_.include_stop) {
    HeldToken held{ToProto(event.token, with_logprobs_, model_.tokenizer),
                   produced_bytes_, produced_bytes_};
    const bool found = AppendText(event.token.token_id, held);
    Hold(std::move(held));
    if (found) {
      FinishByStopString();
      return true;
    }
    ReleaseTokens();
  }
  if (!event.finish.has_value()) return false;
  if (detokenizer_.has_value() && Show(detokenizer_->Finish())) {
    FinishByStopString();
    return false;  // the engine has ended this answer itself
  }
  FinishByEngine(*event.finish);
  return false;
}

bool AnswerBuilder::AppendText(int32_t token_id, HeldToken& held) {
  if (!detokenizer_.has_value()) return false;
  const std::string piece = detokenizer_->Append(token_id);
  produced_bytes_ += piece.size();
  held.end = produced_bytes_;
  // The token waits until its character is complete.
  if (piece.empty() && !model_.tokenizer->IsSpecial(token_id)) ++held.end;
  return Show(piece);
}

bool AnswerBuilder::Show(const std::string& piece) {
  std::string shown = piece;
  if (stops_.has_value() && num_tokens_ > options_.min_new_tokens) {
    shown = stops_->Append(piece);
  }
  shown_bytes_ += shown.size();
  if (options_.text) text_ += shown;
  return stops_.has_value() && stops_->matched() >= 0;
}

void AnswerBuilder::Hold(HeldToken held) {
  if (options_.tokens) held_.push_back(std::move(held));
}

void AnswerBuilder::ReleaseTokens() {
  while (!held_.empty() && held_.front().end <= shown_bytes_) {
    tokens_.push_back(std::move(held_.front().token));
    held_.pop_front();
  }
}

void AnswerBuilder::FinishByEngine(const SequenceFinish& finish) {
  if (stops_.has_value()) {
    const std::string rest = stops_->Finish();
    if (options_.text) text_ += rest;
  }
  for (HeldToken& held : held_) tokens_.push_back(std::move(held.token));
  held_.clear();

  v1::Finish& out = finish_.emplace();
  finish_is_new_ = true;
  *out.mutable_usage() = usage();
  if (finish.reason == FinishReason::kLength) {
    out.set_reason(v1::Finish::LENGTH);
    return;
  }
  out.set_reason(v1::Finish::STOP);
  if (!finish.stop_token_id.has_value()) return;
  const int32_t id = *finish.stop_token_id;
  if (Contains(options_.stop_token_ids, id)) {
    out.set_stop_token_id(id);
  } else {
    out.set_eos_token_id(id);
  }
}

void AnswerBuilder::FinishByStopString() {
  // Keep the tokens with at least one byte in the shown text.
  for (HeldToken& held : held_) {
    if (held.begin < shown_bytes_) tokens_.push_back(std::move(held.token));
  }
  held_.clear();
  v1::Finish& out = finish_.emplace();
  finish_is_new_ = true;
  *out.mutable_usage() = usage();
  out.set_reason(v1::Finish::STOP);
  out.set_stop_string(options_.stop[stops_->matched()]);
}

v1::Usage AnswerBuilder::usage() const {
  v1::Usage usage;
  usage.set_prompt_tokens(num_prompt_tokens_);
  usage.set_completion_tokens(num_tokens_);
  return usage;
}

bool AnswerBuilder::HasOutput() const {
  return !text_.empty() || !tokens_.empty() || finish_is_new_;
}

v1::GenerateChunk AnswerBuilder::Take() {
  v1::GenerateChunk chunk;
  chunk.set_index(index_);
  chunk.set_text(std::exchange(text_, ""));
  for (v1::Token& token : tokens_) *chunk.add_tokens() = std::move(token);
  tokens_.clear();
  if (std::exchange(finish_is_new_, false)) *chunk.mutable_finish() = *finish_;
  if (options_.usage_per_chunk) *chunk.mutable_usage() = usage();
  return chunk;
}

}  // namespace moe

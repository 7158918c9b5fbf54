#include "server/chunks/response_builder.h"

namespace moe {

void ResponseBuilder::Add(v1::GenerateChunk chunk) {
  if (!chunk.request_id().empty()) {
    response_.set_request_id(chunk.request_id());
  }
  // Long prompts and expert usage come in parts.
  if (chunk.has_prompt()) AddPrompt(chunk.mutable_prompt());
  if (chunk.has_timing()) *response_.mutable_timing() = chunk.timing();
  if (chunk.has_expert_usage()) {
    response_.mutable_expert_usage()->MergeFrom(chunk.expert_usage());
  }
  if (chunk.text().empty() && chunk.tokens().empty() && !chunk.has_finish()) {
    return;  // the chunk belongs to no answer
  }
  while (response_.answers_size() <= static_cast<int>(chunk.index())) {
    const int index = response_.answers_size();
    response_.add_answers()->set_index(index);
  }
  v1::Answer& answer = *response_.mutable_answers(chunk.index());
  answer.mutable_text()->append(chunk.text());
  answer.mutable_tokens()->MergeFrom(chunk.tokens());
  if (chunk.has_finish()) *answer.mutable_finish() = chunk.finish();
}

void ResponseBuilder::AddPrompt(v1::PromptInfo* part) {
  v1::PromptInfo& prompt = *response_.mutable_prompt();
  if (prompt.tokens().empty()) {
    prompt.mutable_tokens()->Swap(part->mutable_tokens());
  } else {
    prompt.mutable_tokens()->MergeFrom(part->tokens());
  }
  if (part->num_tokens() > 0) prompt.set_num_tokens(part->num_tokens());
  prompt.mutable_text()->append(part->text());
}

}  // namespace moe

#include "server/generation/response_builder.h"

namespace moe {

void ResponseBuilder::Add(v1::GenerateChunk chunk) {
  if (chunk.has_prompt()) {
    response_.set_request_id(chunk.request_id());
    response_.mutable_prompt()->Swap(chunk.mutable_prompt());
  }
  if (chunk.has_timing() || chunk.has_expert_usage()) {  // of no answer
    if (chunk.has_timing()) *response_.mutable_timing() = chunk.timing();
    if (chunk.has_expert_usage()) {
      *response_.mutable_expert_usage() = chunk.expert_usage();
    }
    return;
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

}  // namespace moe

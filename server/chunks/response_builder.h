#pragma once

#include "proto/moe/v1/generation.pb.h"

namespace moe {

// Joins the chunks of a stream into the response of a call that returns the
// whole answer at once. Not thread-safe.
class ResponseBuilder {
 public:
  // Chunks of one answer in order; those of different answers may interleave.
  void Add(v1::GenerateChunk chunk);

  const v1::GenerateResponse& response() const { return response_; }

 private:
  void AddPrompt(v1::PromptInfo* part);

  v1::GenerateResponse response_;
};

}  // namespace moe

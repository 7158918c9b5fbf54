#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace moe::client {

// Measures when the tokens of one request, or of several in sequence, arrive at
// the client.
class StreamStatistics {
 public:
  void StartRequest(absl::Time now);
  void AddPrompt(int64_t num_tokens) { prompt_tokens_ += num_tokens; }
  // `num_tokens` tokens arrived together; they share the time since the last.
  void AddTokens(int64_t num_tokens, absl::Time now);
  void EndRequest(absl::Time now);

  int64_t prompt_tokens() const { return prompt_tokens_; }
  int64_t new_tokens() const { return new_tokens_; }
  // New tokens divided by the time from each request's start to its last token.
  // 0 if there are none.
  double tokens_per_second() const;
  // Zero if nothing arrived.
  absl::Duration TimeToFirstToken(double percentile) const;
  absl::Duration InterTokenTime(double percentile) const;

  // One line for people; one object for programs.
  std::string ToLine() const;
  std::string ToJson() const;

 private:
  int64_t num_requests_ = 0;
  int64_t prompt_tokens_ = 0;
  int64_t new_tokens_ = 0;
  absl::Time start_;
  absl::Time last_token_;
  bool has_token_ = false;  // this request
  absl::Duration total_;
  absl::Duration until_last_token_;
  std::vector<double> first_token_seconds_;  // by request
  std::vector<double> inter_token_seconds_;
};

}  // namespace moe::client

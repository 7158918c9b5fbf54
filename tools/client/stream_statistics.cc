#include "tools/client/stream_statistics.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace moe::client {
namespace {

// The smallest value that `percentile` percent of the values do not exceed.
absl::Duration Percentile(std::vector<double> seconds, double percentile) {
  if (seconds.empty()) return absl::ZeroDuration();
  std::sort(seconds.begin(), seconds.end());
  const double rank = std::ceil(percentile / 100 * seconds.size());
  const size_t index = static_cast<size_t>(
      std::clamp(rank - 1, 0.0, static_cast<double>(seconds.size() - 1)));
  return absl::Seconds(seconds[index]);
}

double Milliseconds(absl::Duration duration) {
  return absl::ToDoubleMilliseconds(duration);
}

}  // namespace

void StreamStatistics::StartRequest(absl::Time now) {
  ++num_requests_;
  start_ = now;
  has_token_ = false;
}

void StreamStatistics::AddTokens(int64_t num_tokens, absl::Time now) {
  if (num_tokens <= 0) return;
  new_tokens_ += num_tokens;
  until_last_token_ += now - (has_token_ ? last_token_ : start_);
  if (!has_token_) {
    has_token_ = true;
    first_token_seconds_.push_back(absl::ToDoubleSeconds(now - start_));
    // Tokens that arrive with the first one have no measurable gap.
  } else {
    const double each = absl::ToDoubleSeconds(now - last_token_) / num_tokens;
    inter_token_seconds_.insert(inter_token_seconds_.end(), num_tokens, each);
  }
  last_token_ = now;
}

void StreamStatistics::EndRequest(absl::Time now) { total_ += now - start_; }

double StreamStatistics::tokens_per_second() const {
  const double seconds = absl::ToDoubleSeconds(until_last_token_);
  return seconds > 0 ? new_tokens_ / seconds : 0.0;
}

absl::Duration StreamStatistics::TimeToFirstToken(double percentile) const {
  return Percentile(first_token_seconds_, percentile);
}

absl::Duration StreamStatistics::InterTokenTime(double percentile) const {
  return Percentile(inter_token_seconds_, percentile);
}

std::string StreamStatistics::ToLine() const {
  std::string line = absl::StrFormat(
      "%d prompt tokens, %d new tokens in %.2f s", prompt_tokens_, new_tokens_,
      absl::ToDoubleSeconds(total_));
  if (num_requests_ > 1) {
    line = absl::StrFormat("%d prompts: ", num_requests_) + line;
  }
  if (!first_token_seconds_.empty()) {
    absl::StrAppendFormat(&line, " | first token after %.1f ms",
                          Milliseconds(TimeToFirstToken(50)));
  }
  if (!inter_token_seconds_.empty()) {
    absl::StrAppendFormat(
        &line, " | %.1f tokens/s | between tokens p50 %.2f ms, p95 %.2f ms",
        tokens_per_second(), Milliseconds(InterTokenTime(50)),
        Milliseconds(InterTokenTime(95)));
  }
  return line;
}

std::string StreamStatistics::ToJson() const {
  const nlohmann::json json = {
      {"requests", num_requests_},
      {"prompt_tokens", prompt_tokens_},
      {"new_tokens", new_tokens_},
      {"seconds", absl::ToDoubleSeconds(total_)},
      {"tokens_per_second", tokens_per_second()},
      {"time_to_first_token_ms_p50", Milliseconds(TimeToFirstToken(50))},
      {"time_to_first_token_ms_p95", Milliseconds(TimeToFirstToken(95))},
      {"inter_token_ms_p50", Milliseconds(InterTokenTime(50))},
      {"inter_token_ms_p95", Milliseconds(InterTokenTime(95))}};
  return json.dump();
}

}  // namespace moe::client

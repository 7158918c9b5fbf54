#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace moe {

// Limits on what clients may ask for. Fields as in moe.config.Server.
struct RequestLimits {
  int64_t max_concurrent_requests = 1024;
  int64_t max_answers = 16;
  int64_t max_logprobs = 20;
  int64_t max_stop_strings = 16;
  int64_t max_stop_string_bytes = 1024;
  // Longest answer in one message.
  int64_t max_message_bytes = int64_t{16} << 20;
  absl::Duration retry_delay = absl::Seconds(1);
};

}  // namespace moe

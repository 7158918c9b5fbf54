#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace moe {

// A closed loop of streaming generation requests against a running server.
struct LoadOptions {
  std::string address;         // host:port
  int streams = 1;             // requests in flight
  int requests = 1;            // in all
  int64_t prompt_tokens = 64;  // of each, drawn from the seed
  int64_t new_tokens = 64;     // of each; the end of text is ignored
  uint64_t seed = 1;
  absl::Duration timeout = absl::Minutes(10);  // of one request
};

// What the clients measured.
struct LoadResult {
  int completed = 0;
  std::vector<std::string> errors;  // one per failed request
  int64_t output_tokens = 0;
  absl::Duration elapsed;
  std::vector<double> ttft_seconds;         // per request
  std::vector<double> inter_token_seconds;  // all gaps of all requests
  // The engine's last step time (Control.GetLoad), sampled during the run.
  std::vector<double> step_seconds;
};

// Runs the load with one thread per stream. Fails only if the server cannot
// be reached or does not describe its model; the result contains failed
// requests.
absl::StatusOr<LoadResult> RunLoad(const LoadOptions& options);

// The p-th percentile, p in [0, 100], by the nearest rank; 0 of none.
double Percentile(std::vector<double> values, double p);

}  // namespace moe

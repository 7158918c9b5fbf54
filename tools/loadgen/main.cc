// loadgen: a closed loop of streaming requests against a running moe_server.
//   loadgen --address=127.0.0.1:50051 --streams=32 --requests=64

#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "nlohmann/json.hpp"
#include "tools/loadgen/load_run.h"

ABSL_FLAG(std::string, address, "127.0.0.1:50051", "server, host:port");
ABSL_FLAG(int, streams, 8, "requests in flight");
ABSL_FLAG(int, requests, 32, "requests in all");
ABSL_FLAG(int64_t, prompt_tokens, 64, "random prompt tokens of each request");
ABSL_FLAG(int64_t, new_tokens, 64, "tokens that each request generates");
ABSL_FLAG(uint64_t, seed, 1, "seed of prompts and sampling");
ABSL_FLAG(absl::Duration, timeout, absl::Minutes(10), "of one request");
ABSL_FLAG(bool, json, false, "print one JSON object");

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Loads a running moe_server and times it.");
  absl::FlagsUsageConfig usage;
  // --help lists only the flags of this program.
  usage.contains_help_flags = [](absl::string_view file) {
    return absl::StrContains(file, "tools/loadgen/");
  };
  absl::SetFlagsUsageConfig(usage);
  absl::ParseCommandLine(argc, argv);
  moe::LoadOptions options;
  options.address = absl::GetFlag(FLAGS_address);
  options.streams = absl::GetFlag(FLAGS_streams);
  options.requests = absl::GetFlag(FLAGS_requests);
  options.prompt_tokens = absl::GetFlag(FLAGS_prompt_tokens);
  options.new_tokens = absl::GetFlag(FLAGS_new_tokens);
  options.seed = absl::GetFlag(FLAGS_seed);
  options.timeout = absl::GetFlag(FLAGS_timeout);
  if (options.streams < 1 || options.requests < 1 ||
      options.prompt_tokens < 1 || options.new_tokens < 1) {
    std::fprintf(stderr,
                 "loadgen: --streams, --requests, --prompt_tokens and "
                 "--new_tokens must be at least 1\n");
    return 2;
  }
  // Each stream needs a thread, and a call on the server.
  constexpr int kMaxStreams = 4096;
  if (options.streams > kMaxStreams) {
    std::fprintf(stderr, "loadgen: --streams is %d; it must be in [1, %d]\n",
                 options.streams, kMaxStreams);
    return 2;
  }
  if (options.address.empty()) {
    std::fprintf(stderr, "loadgen: --address is empty, must be host:port\n");
    return 2;
  }
  absl::StatusOr<moe::LoadResult> run = moe::RunLoad(options);
  if (!run.ok()) {
    std::fprintf(stderr, "loadgen: %s\n", run.status().ToString().c_str());
    return 1;
  }
  const double seconds = absl::ToDoubleSeconds(run->elapsed);
  const auto ms = [](const std::vector<double>& values, double p) {
    return moe::Percentile(values, p) * 1e3;
  };
  const nlohmann::json report = {
      {"streams", options.streams},
      {"requests", options.requests},
      {"completed", run->completed},
      {"failed", run->errors.size()},
      {"prompt_tokens_each", options.prompt_tokens},
      {"output_tokens", run->output_tokens},
      {"seconds", seconds},
      {"output_tokens_per_second", run->output_tokens / seconds},
      {"ttft_ms_p50", ms(run->ttft_seconds, 50)},
      {"ttft_ms_p95", ms(run->ttft_seconds, 95)},
      {"inter_token_ms_p50", ms(run->inter_token_seconds, 50)},
      {"inter_token_ms_p95", ms(run->inter_token_seconds, 95)},
      {"engine_step_ms_p50", ms(run->step_seconds, 50)},
  };
  if (absl::GetFlag(FLAGS_json)) {
    std::printf("%s\n", report.dump().c_str());
  } else {
    for (const auto& [name, value] : report.items()) {
      std::printf("%-26s %s\n", name.c_str(), value.dump().c_str());
    }
  }
  for (const std::string& error : run->errors) {
    std::fprintf(stderr, "loadgen: %s\n", error.c_str());
  }
  return run->errors.empty() ? 0 : 1;
}

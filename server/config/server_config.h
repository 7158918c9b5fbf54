#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/loading/load_engine_options.h"
#include "engine/sampling/sampling_params.h"
#include "server/logging/log.h"

namespace moe {

struct TlsConfig {
  std::string certificate;  // PEM files
  std::string private_key;
  std::string client_ca;  // "": clients need no certificate
};

// What is taken from clients. Fields as in moe.config.Server.
struct RequestLimits {
  int64_t max_concurrent_requests = 1024;
  int64_t max_answers = 16;
  int64_t max_logprobs = 20;
  int64_t max_stop_strings = 16;
  int64_t max_stop_string_bytes = 1024;
  absl::Duration retry_delay = absl::Seconds(1);
};

struct ListenConfig {
  std::string address = "127.0.0.1";
  int port = 50051;       // 0: any free one
  std::string port_file;  // "": none
  std::optional<TlsConfig> tls;
  int64_t max_message_bytes = int64_t{16} << 20;
  int64_t max_concurrent_streams = 1024;
  absl::Duration keepalive_time = absl::Hours(2);
  absl::Duration keepalive_timeout = absl::Seconds(20);
  absl::Duration min_client_ping_interval = absl::Seconds(10);
  bool remote_control = false;
};

// The configuration file, validated, with defaults in place; the fields are
// explained in proto/config.proto. Paths are ready to be opened. Plain data.
struct ServerConfig {
  LoadEngineOptions engine;
  std::string model_name;
  std::string tokenizer_path;  // "": the model serves token ids only
  // Unset: the tokenizer's.
  std::optional<std::vector<int32_t>> eos_token_ids;
  SamplingParams sampling_defaults;
  ListenConfig listen;
  RequestLimits limits;
  absl::Duration drain_grace = absl::Seconds(30);
  // Ranks and machines that there must be; 0: any number.
  int world_size = 0;
  int nodes = 0;
  // For the ranks to find each other.
  absl::Duration connect_timeout = absl::Minutes(1);
  // The file as it was read: the ranks compare it.
  std::string text;
  Severity log_level = Severity::kInfo;
  LogFormat log_format = LogFormat::kKeyValue;
};

// Parses moe.config.ServerConfig in text format. kInvalidArgument is one line
// that names `file`, the line and the field. Relative paths are resolved
// against the directory of `file`, and must exist.
absl::StatusOr<ServerConfig> ParseServerConfig(const std::string& text,
                                               const std::string& file);

// The same of a file; kNotFound if it cannot be read.
absl::StatusOr<ServerConfig> LoadServerConfig(const std::string& file);

}  // namespace moe

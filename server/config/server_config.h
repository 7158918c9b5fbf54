#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/loading/load_engine_options.h"
#include "engine/sampling/sampling_params.h"
#include "server/config/listen_config.h"
#include "server/config/request_limits.h"
#include "server/logging/log.h"

namespace moe {

// The configuration file, validated, with defaults filled in.
// proto/config.proto explains the fields. Paths are relative to the working
// directory. Plain data.
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
  // Required numbers of ranks and machines; 0: any number.
  int world_size = 0;
  int nodes = 0;
  // Longest time until all ranks have found each other.
  absl::Duration connect_timeout = absl::Minutes(1);
  // The file's text, which the ranks compare.
  std::string text;
  Severity log_level = Severity::kInfo;
  LogFormat log_format = LogFormat::kKeyValue;
};

// Parses a moe.config.ServerConfig in text format. Errors are kInvalidArgument:
// one line that names `file`, the line and the field. Relative paths start at
// the directory of `file`; paths to read from must exist.
absl::StatusOr<ServerConfig> ParseServerConfig(const std::string& text,
                                               const std::string& file);

// The same for a file; kNotFound if it cannot be read.
absl::StatusOr<ServerConfig> LoadServerConfig(const std::string& file);

}  // namespace moe

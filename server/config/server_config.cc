#include "server/config/server_config.h"

#include <google/protobuf/io/tokenizer.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernels/core/status_macros.h"
#include "proto/config.pb.h"
#include "server/config/config_section.h"
#include "server/config/listen_config.h"
#include "server/config/model_settings.h"
#include "server/config/parallel_config.h"

namespace moe {
namespace {

constexpr float kFloatMax = std::numeric_limits<float>::max();

// Keeps the first error of the text-format parser, with its source line: not
// every error names the field.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  FirstError(const std::string& file, const std::string& text)
      : file_(file), lines_(absl::StrSplit(text, '\n')) {}

  // `line` and `column` count from 0.
  void AddError(int line, int column, const std::string& message) override {
    if (!status_.ok()) return;
    std::string source;
    if (line >= 0 && line < static_cast<int>(lines_.size())) {
      source =
          absl::StrCat(" (\"", absl::StripAsciiWhitespace(lines_[line]), "\")");
    }
    status_ = absl::InvalidArgumentError(absl::StrCat(
        file_, ":", line + 1, ":", column + 1, ": ", message, source));
  }
  const absl::Status& status() const { return status_; }

 private:
  const std::string file_;
  const std::vector<std::string> lines_;
  absl::Status status_;
};

absl::Status ReadSamplingDefaults(const ConfigSection& section,
                                  SamplingParams& out) {
  constexpr float kSmallest = std::numeric_limits<float>::min();
  ASSIGN_OR_RETURN(out.temperature, section.Float("temperature", 1, 0, 100));
  ASSIGN_OR_RETURN(out.top_p, section.Float("top_p", 1, kSmallest, 1));
  ASSIGN_OR_RETURN(out.top_k, section.Integer("top_k", 0, 0));
  ASSIGN_OR_RETURN(out.min_p, section.Float("min_p", 0, 0, 1));
  ASSIGN_OR_RETURN(out.presence_penalty,
                   section.Float("presence_penalty", 0, -2, 2));
  ASSIGN_OR_RETURN(out.frequency_penalty,
                   section.Float("frequency_penalty", 0, -2, 2));
  ASSIGN_OR_RETURN(
      out.repetition_penalty,
      section.Float("repetition_penalty", 1, kSmallest, kFloatMax));
  return absl::OkStatus();
}

absl::Status ReadEngine(const config::Engine& proto,
                        const ConfigSection& section, ServerConfig& out) {
  LoadEngineOptions& load = out.engine;
  EngineOptions& engine = load.engine;
  ASSIGN_OR_RETURN(load.num_threads, section.Integer("threads", 0, 1, 1024));
  load.pin_threads = proto.pin_threads();
  ASSIGN_OR_RETURN(load.kv_cache_bytes,
                   section.Integer("kv_cache_bytes", 0, 1));
  ASSIGN_OR_RETURN(engine.block_size,
                   section.Integer("block_size", 16, 4, 1024));
  if ((engine.block_size & (engine.block_size - 1)) != 0) {
    return section.Error("block_size", absl::StrCat("is ", engine.block_size,
                                                    "; it must be a power of "
                                                    "two"));
  }
  ASSIGN_OR_RETURN(engine.max_step_tokens,
                   section.Integer("max_step_tokens", 512, 1, 65536));
  ASSIGN_OR_RETURN(
      engine.prefill_chunk_tokens,
      section.Integer("prefill_chunk_tokens", 0, 1, engine.max_step_tokens));
  ASSIGN_OR_RETURN(
      engine.max_running_sequences,
      section.Integer("max_running_sequences",
                      std::min<int64_t>(64, engine.max_step_tokens), 1,
                      engine.max_step_tokens));
  ASSIGN_OR_RETURN(engine.max_waiting_requests,
                   section.Integer("max_waiting_requests", 256, 1, 1000000));
  ASSIGN_OR_RETURN(engine.stall_timeout,
                   section.Duration("stall_timeout", absl::Seconds(30),
                                    absl::Seconds(1), absl::Hours(24)));
  return ReadSamplingDefaults(section.Nested("sampling_defaults"),
                              out.sampling_defaults);
}

absl::Status ReadServer(const config::Server& proto,
                        const ConfigSection& section, ServerConfig& out) {
  ASSIGN_OR_RETURN(out.listen, ReadListen(proto, section));
  RequestLimits& limits = out.limits;
  limits.max_message_bytes = out.listen.max_message_bytes;
  ASSIGN_OR_RETURN(limits.max_concurrent_requests,
                   section.Integer("max_concurrent_requests",
                                   limits.max_concurrent_requests, 1, 1000000));
  ASSIGN_OR_RETURN(limits.max_answers,
                   section.Integer("max_answers", limits.max_answers, 1, 1024));
  ASSIGN_OR_RETURN(
      limits.max_logprobs,
      section.Integer("max_logprobs", limits.max_logprobs, 0, 1000));
  ASSIGN_OR_RETURN(
      limits.max_stop_strings,
      section.Integer("max_stop_strings", limits.max_stop_strings, 0, 1024));
  ASSIGN_OR_RETURN(limits.retry_delay,
                   section.Duration("retry_delay", limits.retry_delay,
                                    absl::ZeroDuration(), absl::Hours(1)));
  ASSIGN_OR_RETURN(out.drain_grace,
                   section.Duration("drain_grace", out.drain_grace,
                                    absl::ZeroDuration(), absl::Hours(24)));
  return absl::OkStatus();
}

void ReadLog(const config::Log& proto, ServerConfig& out) {
  switch (proto.level()) {
    case config::Log::DEBUG:
      out.log_level = Severity::kDebug;
      break;
    case config::Log::WARNING:
      out.log_level = Severity::kWarning;
      break;
    case config::Log::ERROR:
      out.log_level = Severity::kError;
      break;
    default:
      out.log_level = Severity::kInfo;
  }
  out.log_format = proto.format() == config::Log::JSON ? LogFormat::kJson
                                                       : LogFormat::kKeyValue;
}

}  // namespace

absl::StatusOr<ServerConfig> ParseServerConfig(const std::string& text,
                                               const std::string& file) {
  using google::protobuf::TextFormat;
  config::ServerConfig proto;
  TextFormat::ParseInfoTree tree;
  FirstError errors(file, text);
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  parser.WriteLocationsTo(&tree);
  if (!parser.ParseFromString(text, &proto)) return errors.status();

  const ConfigSection root(proto, &tree, file, "");
  RETURN_IF_ERROR(root.CheckEnums());
  ServerConfig config;
  ASSIGN_OR_RETURN(ModelSettings model,
                   ReadModelSettings(proto.model(), root.Nested("model")));
  config.model_name = std::move(model.name);
  config.tokenizer_path = std::move(model.tokenizer_path);
  config.eos_token_ids = std::move(model.eos_token_ids);
  config.engine.checkpoint_path = std::move(model.checkpoint_path);
  config.engine.checkpoint = std::move(model.checkpoint);
  config.engine.weight_dtype = model.weight_dtype;
  RETURN_IF_ERROR(ReadEngine(proto.engine(), root.Nested("engine"), config));
  RETURN_IF_ERROR(ReadServer(proto.server(), root.Nested("server"), config));
  ASSIGN_OR_RETURN(ParallelConfig parallel,
                   ReadParallel(proto.parallel(), root.Nested("parallel")));
  config.engine.parallel = std::move(parallel.options);
  config.world_size = parallel.world_size;
  config.nodes = parallel.nodes;
  config.connect_timeout = parallel.connect_timeout;
  ReadLog(proto.log(), config);
  config.text = text;
  return config;
}

absl::StatusOr<ServerConfig> LoadServerConfig(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  std::error_code ignored;
  // A directory can be opened, and reads as empty.
  if (!stream || std::filesystem::is_directory(file, ignored)) {
    return absl::NotFoundError(
        absl::StrCat("cannot read the configuration file \"", file, "\""));
  }
  return ParseServerConfig(text.str(), file);
}

}  // namespace moe

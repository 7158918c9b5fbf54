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
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernels/core/dtype.h"
#include "kernels/core/status_macros.h"
#include "proto/config.pb.h"
#include "server/config/config_section.h"
#include "server/config/parallel_config.h"
#include "server/text/utf8.h"

namespace moe {
namespace {

constexpr float kFloatMax = std::numeric_limits<float>::max();

// Keeps the first complaint of the text-format parser, with the line it is
// about: not every complaint names the field.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  FirstError(const std::string& file, const std::string& text)
      : file_(file), lines_(absl::StrSplit(text, '\n')) {}

  // Both from 0.
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

// Absent: the value 0, which means "from the files".
std::optional<QkvLayout> ReadQkvLayout(config::Checkpoint::QkvLayout value) {
  switch (value) {
    case config::Checkpoint::HEAD_INTERLEAVED:
      return QkvLayout::kHeadInterleaved;
    case config::Checkpoint::Q_K_V:
    case config::Checkpoint::VERSION_0:
      return QkvLayout::kQKV;
    case config::Checkpoint::VERSION_1:
      return QkvLayout::kVersion1;
    default:
      return std::nullopt;
  }
}

std::optional<ResidualMoeKind> ReadResidualMoe(
    config::Checkpoint::ResidualMoe value) {
  switch (value) {
    case config::Checkpoint::A:
      return ResidualMoeKind::kA;
    case config::Checkpoint::B1:
      return ResidualMoeKind::kB1;
    case config::Checkpoint::B2:
      return ResidualMoeKind::kB2;
    default:
      return std::nullopt;
  }
}

std::optional<ActivationKind> ReadActivation(
    config::Checkpoint::Activation value) {
  switch (value) {
    case config::Checkpoint::GELU_TANH:
      return ActivationKind::kGeluTanh;
    case config::Checkpoint::GELU_ERF:
      return ActivationKind::kGeluErf;
    default:
      return std::nullopt;
  }
}

absl::Status ReadCheckpoint(const config::Checkpoint& proto,
                            const ConfigSection& section,
                            CheckpointOptions& out) {
  out.megatron.qkv_layout = ReadQkvLayout(proto.qkv_layout());
  out.megatron.residual_moe = ReadResidualMoe(proto.residual_moe());
  out.megatron.activation = ReadActivation(proto.activation());
  out.megatron.rope_double_cos_quirk = proto.rope_double_cos_quirk();
  ASSIGN_OR_RETURN(
      out.vocab_size,
      section.Integer("vocab_size", 0, 1, std::numeric_limits<int32_t>::max()));
  return absl::OkStatus();
}

// Of UTF-8, without control characters.
bool IsPrintable(absl::string_view text) {
  while (!text.empty()) {
    const Utf8Unit unit = NextUtf8Unit(text);
    if (unit.kind != Utf8Unit::kCharacter || unit.code_point < 0x20 ||
        (unit.code_point >= 0x7f && unit.code_point < 0xa0)) {
      return false;
    }
    text.remove_prefix(unit.num_bytes);
  }
  return true;
}

absl::Status ReadModel(const config::Model& proto, const ConfigSection& section,
                       ServerConfig& out) {
  if (!section.Has("path")) {
    return section.Error("path",
                         "is required: the directory of the checkpoint");
  }
  ASSIGN_OR_RETURN(out.engine.checkpoint_path, section.ExistingPath("path"));
  const std::filesystem::path path(out.engine.checkpoint_path);
  out.model_name = proto.name();
  if (out.model_name.empty()) {
    // "models/x/" has an empty last part.
    out.model_name =
        (path.has_filename() ? path : path.parent_path()).filename().string();
  }
  if (!IsPrintable(out.model_name)) {
    return section.Error(
        proto.name().empty() ? "path" : "name",
        absl::StrCat(
            "gives the model the name \"",
            absl::Utf8SafeCHexEscape(ReplaceInvalidUtf8(out.model_name)),
            "\", which is not printable UTF-8: set model.name to one "
            "that is"));
  }
  ASSIGN_OR_RETURN(out.tokenizer_path, section.ExistingPath("tokenizer"));
  std::error_code ignored;  // the checkpoint's reader says what is wrong
  if (out.tokenizer_path.empty() &&
      std::filesystem::exists(path / "tokenizer.json", ignored)) {
    out.tokenizer_path = path / "tokenizer.json";
  }
  for (const uint32_t id : proto.eos_token_ids()) {
    if (id > std::numeric_limits<int32_t>::max()) {
      return section.ErrorOfEach(
          "eos_token_ids",
          absl::StrCat("holds ", id, ", which is no token id"));
    }
  }
  if (!proto.eos_token_ids().empty()) {
    out.eos_token_ids.emplace(proto.eos_token_ids().begin(),
                              proto.eos_token_ids().end());
  }
  switch (proto.weight_dtype()) {
    case config::Model::F16:
      out.engine.weight_dtype = DType::kF16;
      break;
    case config::Model::F32:
      out.engine.weight_dtype = DType::kF32;
      break;
    default:
      out.engine.weight_dtype = DType::kBf16;
  }
  return ReadCheckpoint(proto.checkpoint(), section.Nested("checkpoint"),
                        out.engine.checkpoint);
}

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

absl::Status ReadTls(const ConfigSection& section, ListenConfig& out) {
  TlsConfig tls;
  for (const char* field : {"certificate", "private_key"}) {
    if (!section.Has(field)) {
      return section.Error(field, "is required where there is tls");
    }
  }
  ASSIGN_OR_RETURN(tls.certificate, section.ExistingPath("certificate"));
  ASSIGN_OR_RETURN(tls.private_key, section.ExistingPath("private_key"));
  ASSIGN_OR_RETURN(tls.client_ca, section.ExistingPath("client_ca"));
  out.tls = tls;
  return absl::OkStatus();
}

absl::Status ReadListen(const config::Server& proto,
                        const ConfigSection& section, ListenConfig& out) {
  if (section.Has("address")) out.address = proto.address();
  ASSIGN_OR_RETURN(out.port, section.Integer("port", out.port, 0, 65535));
  out.port_file = section.Path("port_file");
  if (proto.has_tls()) RETURN_IF_ERROR(ReadTls(section.Nested("tls"), out));
  ASSIGN_OR_RETURN(out.max_message_bytes,
                   section.Integer("max_message_bytes", out.max_message_bytes,
                                   64 << 10, 1 << 30));
  ASSIGN_OR_RETURN(out.max_concurrent_streams,
                   section.Integer("max_concurrent_streams",
                                   out.max_concurrent_streams, 1, 1000000));
  ASSIGN_OR_RETURN(out.keepalive_time,
                   section.Duration("keepalive_time", out.keepalive_time,
                                    absl::Seconds(10), absl::Hours(24)));
  ASSIGN_OR_RETURN(out.keepalive_timeout,
                   section.Duration("keepalive_timeout", out.keepalive_timeout,
                                    absl::Seconds(1), absl::Hours(1)));
  ASSIGN_OR_RETURN(
      out.min_client_ping_interval,
      section.Duration("min_client_ping_interval", out.min_client_ping_interval,
                       absl::Seconds(1), absl::Hours(1)));
  out.remote_control = proto.remote_control();
  return absl::OkStatus();
}

absl::Status ReadServer(const config::Server& proto,
                        const ConfigSection& section, ServerConfig& out) {
  RETURN_IF_ERROR(ReadListen(proto, section, out.listen));
  RequestLimits& limits = out.limits;
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
  RETURN_IF_ERROR(ReadModel(proto.model(), root.Nested("model"), config));
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
  // A directory opens, and reads as nothing.
  if (!stream || std::filesystem::is_directory(file, ignored)) {
    return absl::NotFoundError(
        absl::StrCat("cannot read the configuration file \"", file, "\""));
  }
  return ParseServerConfig(text.str(), file);
}

}  // namespace moe

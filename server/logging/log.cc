#include "server/logging/log.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/logging/log_writer.h"
#include "server/text/utf8.h"

namespace moe {
namespace {

constexpr size_t kMaxWaitingBytes = 4 << 20;
constexpr absl::Duration kErrorFlushTimeout = absl::Milliseconds(100);

std::atomic<LogFormat> log_format{LogFormat::kKeyValue};

spdlog::level::level_enum ToSpdlog(Severity level) {
  switch (level) {
    case Severity::kDebug:
      return spdlog::level::debug;
    case Severity::kInfo:
      return spdlog::level::info;
    case Severity::kWarning:
      return spdlog::level::warn;
    case Severity::kError:
      break;
  }
  return spdlog::level::err;
}

// The payload (%v) comes from FormatKeyValue or FormatJsonMembers.
std::string Pattern(LogFormat format, std::optional<int> rank) {
  if (format == LogFormat::kJson) {
    return absl::StrCat(R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",)",
                        rank ? absl::StrCat("\"rank\":", *rank, ",") : "",
                        "%v}");
  }
  return absl::StrCat("time=%Y-%m-%dT%H:%M:%S.%e%z level=%l ",
                      rank ? absl::StrCat("rank=", *rank, " ") : "", "%v");
}

// True for printable ASCII that needs no quotes.
bool IsWord(const std::string& value) {
  if (value.empty()) return false;
  for (const unsigned char c : value) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f) {
      return false;
    }
  }
  return true;
}

// In double quotes, with JSON's escapes. JSON cannot hold bytes that are not
// UTF-8; they are written as text: "\\xe9".
std::string Quote(const std::string& value) {
  std::string out = "\"";
  absl::string_view rest = value;
  while (!rest.empty()) {
    const Utf8Unit unit = NextUtf8Unit(rest);
    const absl::string_view bytes = rest.substr(0, unit.num_bytes);
    rest.remove_prefix(unit.num_bytes);
    const unsigned char c = bytes[0];
    if (unit.kind != Utf8Unit::kCharacter) {
      for (const unsigned char byte : bytes) {
        absl::StrAppendFormat(&out, "\\\\x%02x", byte);
      }
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20 || c == 0x7f) {
      absl::StrAppendFormat(&out, "\\u%04x", c);
    } else {
      absl::StrAppend(&out, bytes);
    }
  }
  return out + "\"";
}

}  // namespace

LogField::LogField(absl::string_view key, int64_t value)
    : key_(key), value_(absl::StrCat(value)) {}

LogField::LogField(absl::string_view key, double value)
    : key_(key),
      value_(absl::StrFormat("%.4g", value)),
      // JSON has no word for NaN and infinity.
      is_text_(!std::isfinite(value)) {}

std::string FormatKeyValue(absl::string_view event,
                           const std::vector<LogField>& fields) {
  std::string out = absl::StrCat("event=", event);
  for (const LogField& field : fields) {
    absl::StrAppend(
        &out, " ", field.key(), "=",
        IsWord(field.value()) ? field.value() : Quote(field.value()));
  }
  return out;
}

std::string FormatJsonMembers(absl::string_view event,
                              const std::vector<LogField>& fields) {
  std::string out = absl::StrCat("\"event\":", Quote(std::string(event)));
  for (const LogField& field : fields) {
    absl::StrAppend(&out, ",", Quote(field.key()), ":",
                    field.is_text() ? Quote(field.value()) : field.value());
  }
  return out;
}

namespace {

std::string Format(absl::string_view event,
                   const std::vector<LogField>& fields) {
  return log_format == LogFormat::kJson ? FormatJsonMembers(event, fields)
                                        : FormatKeyValue(event, fields);
}

// Passes lines to a LogWriter.
class QueuedSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  LogWriter& writer() { return writer_; }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    writer_.Write(ToLine(message));
  }
  void flush_() override {}

 private:
  std::string ToLine(const spdlog::details::log_msg& message) {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    return std::string(line.data(), line.size());
  }

  std::string DescribeDropped(int64_t num_lines) {
    const std::string text = Format("log_dropped", {{"lines", num_lines}});
    const spdlog::details::log_msg message(
        "moe", spdlog::level::warn,
        spdlog::string_view_t(text.data(), text.size()));
    std::lock_guard lock(mutex_);  // of formatter_
    return ToLine(message);
  }

  LogWriter writer_{STDERR_FILENO, kMaxWaitingBytes,
                    [this](int64_t lines) { return DescribeDropped(lines); }};
};

QueuedSink& Sink() {
  // Never destroyed: other threads may log while the process exits.
  static auto* const sink = new QueuedSink;
  return *sink;
}

spdlog::logger& Logger() {
  static spdlog::logger* const logger = [] {
    // A pointer that owns nothing.
    auto* made = new spdlog::logger(
        "moe", spdlog::sink_ptr(spdlog::sink_ptr(), &Sink()));
    made->set_pattern(Pattern(LogFormat::kKeyValue, std::nullopt));
    return made;
  }();
  return *logger;
}

}  // namespace

void InitLog(Severity level, LogFormat format, std::optional<int> rank) {
  log_format = format;
  Logger().set_pattern(Pattern(format, rank));
  Logger().set_level(ToSpdlog(level));
}

void Log(Severity level, absl::string_view event,
         std::initializer_list<LogField> fields) {
  Log(level, event, std::vector<LogField>(fields));
}

void Log(Severity level, absl::string_view event,
         const std::vector<LogField>& fields) {
  const spdlog::level::level_enum spdlog_level = ToSpdlog(level);
  if (!Logger().should_log(spdlog_level)) return;
  const std::string line = Format(event, fields);
  Logger().log(spdlog_level, spdlog::string_view_t(line.data(), line.size()));
  if (level == Severity::kError) FlushLog(kErrorFlushTimeout);
}

void FlushLog(absl::Duration timeout) { Sink().writer().Flush(timeout); }

}  // namespace moe

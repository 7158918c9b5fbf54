#include "server/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cmath>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace moe {
namespace {

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

// The payload is what FormatKeyValue or FormatJsonMembers made.
std::string Pattern(LogFormat format, std::optional<int> rank) {
  if (format == LogFormat::kJson) {
    return absl::StrCat(R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",)",
                        rank ? absl::StrCat("\"rank\":", *rank, ",") : "",
                        "%v}");
  }
  return absl::StrCat("time=%Y-%m-%dT%H:%M:%S.%e%z level=%l ",
                      rank ? absl::StrCat("rank=", *rank, " ") : "", "%v");
}

spdlog::logger& Logger() {
  // Never destroyed: other threads may log while the process exits.
  static spdlog::logger* const logger = [] {
    auto* made = new spdlog::logger(
        "moe", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern(Pattern(LogFormat::kKeyValue, std::nullopt));
    return made;
  }();
  return *logger;
}

bool IsWord(const std::string& value) {
  if (value.empty()) return false;
  for (const char c : value) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == '\x7f') {
      return false;
    }
  }
  return true;
}

// In double quotes, with JSON's escapes. Bytes above 0x7f are left as they are.
std::string Quote(const std::string& value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == '\x7f') {
      absl::StrAppendFormat(&out, "\\u%04x", static_cast<unsigned char>(c));
    } else {
      out += c;
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
  const std::string line = log_format == LogFormat::kJson
                               ? FormatJsonMembers(event, fields)
                               : FormatKeyValue(event, fields);
  Logger().log(spdlog_level, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace moe

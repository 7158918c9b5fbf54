#include "engine/runtime/engine_log.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <mutex>

#include "absl/strings/str_cat.h"

namespace moe {
namespace {

// Never destroyed: other threads may log while the process exits.
struct SinkHolder {
  std::mutex mutex;
  EngineLogSink sink;  // guarded by mutex
};
SinkHolder& GlobalSink() {
  static auto& holder = *new SinkHolder();
  return holder;
}

spdlog::level::level_enum ToSpdlog(EngineLogLevel level) {
  switch (level) {
    case EngineLogLevel::kInfo:
      return spdlog::level::info;
    case EngineLogLevel::kWarning:
      return spdlog::level::warn;
    case EngineLogLevel::kError:
      break;
  }
  return spdlog::level::err;
}

void AppendText(const std::string& value, std::string* line) {
  const bool plain =
      !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
        return c > ' ' && c != '"' && c != '=' && c != '\\' && c != 0x7f;
      });
  if (plain) {
    line->append(value);
    return;
  }
  line->push_back('"');
  for (char c : value) {
    if (c == '"' || c == '\\') line->push_back('\\');
    line->push_back(c == '\n' || c == '\r' ? ' ' : c);
  }
  line->push_back('"');
}

void AppendValue(const EngineLogValue& value, std::string* line) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    AppendText(*text, line);
  } else if (const auto* integer = std::get_if<int64_t>(&value)) {
    absl::StrAppend(line, *integer);
  } else {
    absl::StrAppend(line, std::get<double>(value));
  }
}

}  // namespace

void LogEngineEvent(EngineLogLevel level, absl::string_view event,
                    const EngineLogFields& fields) {
  SinkHolder& global = GlobalSink();
  std::lock_guard<std::mutex> lock(global.mutex);
  if (global.sink) {
    global.sink(level, std::string(event), fields);
    return;
  }
  std::string line = absl::StrCat("event=", event);
  for (const auto& [key, value] : fields) {
    absl::StrAppend(&line, " ", key, "=");
    AppendValue(value, &line);
  }
  spdlog::default_logger_raw()->log(ToSpdlog(level), "{}", line);
}

void SetEngineLogSink(EngineLogSink sink) {
  SinkHolder& global = GlobalSink();
  std::lock_guard<std::mutex> lock(global.mutex);
  global.sink = std::move(sink);
}

}  // namespace moe

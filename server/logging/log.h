#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace moe {

enum class Severity { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kKeyValue, kJson };

// One key=value of a log line. Keys are snake_case words.
class LogField {
 public:
  LogField(absl::string_view key, absl::string_view value)
      : key_(key), value_(value), is_text_(true) {}
  LogField(absl::string_view key, const std::string& value)
      : LogField(key, absl::string_view(value)) {}
  LogField(absl::string_view key, const char* value)
      : LogField(key, absl::string_view(value)) {}
  LogField(absl::string_view key, int64_t value);
  LogField(absl::string_view key, int value)
      : LogField(key, static_cast<int64_t>(value)) {}
  // Four significant digits: log lines are for people.
  LogField(absl::string_view key, double value);

  const std::string& key() const { return key_; }
  const std::string& value() const { return value_; }
  bool is_text() const { return is_text_; }

 private:
  std::string key_;
  std::string value_;
  bool is_text_ = false;
};

// "event=name key=value key=\"a \\\"value\\\"\"": values are quoted where they
// would not read back as one word.
std::string FormatKeyValue(absl::string_view event,
                           const std::vector<LogField>& fields);
// "\"event\":\"name\",\"key\":1": the inside of a JSON object.
std::string FormatJsonMembers(absl::string_view event,
                              const std::vector<LogField>& fields);

// Lines go to standard error from now on in this form, with the rank of this
// process if it has one. Before the first call: key=value from kInfo up. Not
// thread-safe; call at start-up.
void InitLog(Severity level, LogFormat format,
             std::optional<int> rank = std::nullopt);

// Writes one line, on another thread: a reader of standard error that does not
// read holds nobody up, and lines beyond some MiB are dropped, the oldest first
// (event=log_dropped tells how many). Of an error it waits a moment until it is
// out, since the process may be about to end. Thread-safe.
void Log(Severity level, absl::string_view event,
         std::initializer_list<LogField> fields = {});
void Log(Severity level, absl::string_view event,
         const std::vector<LogField>& fields);

// Waits until all lines are out, but not for ever: before the process ends.
void FlushLog(absl::Duration timeout = absl::Seconds(1));

}  // namespace moe

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

// A key and its value in a log line. Keys are snake_case words.
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
  // Written with four significant digits.
  LogField(absl::string_view key, double value);

  const std::string& key() const { return key_; }
  const std::string& value() const { return value_; }
  bool is_text() const { return is_text_; }

 private:
  std::string key_;
  std::string value_;
  bool is_text_ = false;
};

// `event=name key=value key="a \"value\""`. Values that are not one word are
// quoted.
std::string FormatKeyValue(absl::string_view event,
                           const std::vector<LogField>& fields);
// `"event":"name","key":1`: the members of a JSON object, without its braces.
std::string FormatJsonMembers(absl::string_view event,
                              const std::vector<LogField>& fields);

// Sets the level and form of the lines on standard error. `rank`: written in
// each line. Before this call: key=value, from kInfo up. Not thread-safe; call
// it at start-up.
void InitLog(Severity level, LogFormat format,
             std::optional<int> rank = std::nullopt);

// Writes one line on a separate thread, so a blocked standard error delays
// nobody. Beyond 4 MiB of waiting lines the oldest are dropped
// (event=log_dropped counts them). For an error it waits up to 100 ms until the
// line is written, since the process may be about to end. Thread-safe.
void Log(Severity level, absl::string_view event,
         std::initializer_list<LogField> fields = {});
void Log(Severity level, absl::string_view event,
         const std::vector<LogField>& fields);

// Waits until all lines are written, for at most `timeout`. Call it before
// _exit.
void FlushLog(absl::Duration timeout = absl::Seconds(1));

}  // namespace moe

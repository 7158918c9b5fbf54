#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"

namespace moe {

enum class EngineLogLevel { kInfo, kWarning, kError };
// Text stays text, whatever it looks like: a host may be named "12".
using EngineLogValue = std::variant<std::string, int64_t, double>;
using EngineLogFields = std::vector<std::pair<std::string, EngineLogValue>>;

// Writes one line `event=<event> key=value ...` through spdlog's default logger
// (texts with blanks or quotes are quoted), or hands it to the sink. Keeps
// spdlog's headers out of the other files. Thread-safe.
void LogEngineEvent(EngineLogLevel level, absl::string_view event,
                    const EngineLogFields& fields);

// The engine's log lines go to `sink` from now on; empty: to spdlog again. For
// programs with a log format of their own. The sink may be called from any
// thread, one call at a time. Thread-safe.
using EngineLogSink =
    std::function<void(EngineLogLevel level, const std::string& event,
                       const EngineLogFields& fields)>;
void SetEngineLogSink(EngineLogSink sink);

}  // namespace moe

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
// A string is logged as text even if it looks like a number: a host may be
// named "12".
using EngineLogValue = std::variant<std::string, int64_t, double>;
using EngineLogFields = std::vector<std::pair<std::string, EngineLogValue>>;

// Writes one line `event=<event> key=value ...` through spdlog's default logger
// (quotes texts with blanks or quotes), or passes the event to the sink. Keeps
// spdlog's headers out of the other files. Thread-safe.
void LogEngineEvent(EngineLogLevel level, absl::string_view event,
                    const EngineLogFields& fields);

// Sends the engine's log events to `sink`; empty: to spdlog. For programs with
// another log format. The sink may be called from any thread, one call at a
// time. Thread-safe.
using EngineLogSink =
    std::function<void(EngineLogLevel level, const std::string& event,
                       const EngineLogFields& fields)>;
void SetEngineLogSink(EngineLogSink sink);

}  // namespace moe

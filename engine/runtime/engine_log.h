#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace moe {

enum class EngineLogLevel { kInfo, kWarning, kError };
using EngineLogFields = std::vector<std::pair<std::string, std::string>>;

// Writes one line `event=<event> key=value ...` through spdlog's default logger
// (values with blanks or quotes are quoted), or hands it to the sink. Keeps
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

#include "kernels/core/available_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace moe {
namespace {

std::optional<int64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  int64_t value = 0;
  // "max" (no limit) is not a number.
  if (!(file >> word) || !absl::SimpleAtoi(word, &value)) return std::nullopt;
  return value;
}

std::optional<int64_t> ReadMemAvailable() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  std::string rest;
  int64_t kib = 0;
  while (file >> key) {
    if (key == "MemAvailable:" && file >> kib) return kib * 1024;
    std::getline(file, rest);
  }
  return std::nullopt;
}

// Page cache that a control group counts as used but gives back under pressure.
int64_t ReadReclaimable(const std::string& path) {
  std::ifstream file(path);
  std::string key;
  int64_t value = 0;
  int64_t reclaimable = 0;
  while (file >> key >> value) {
    if (key == "inactive_file" || key == "total_inactive_file") {
      reclaimable = value;
    }
  }
  return reclaimable;
}

// Version 2 of control groups, then version 1; as a container sees its own.
std::optional<int64_t> ReadControlGroupLeft() {
  const std::string root = "/sys/fs/cgroup/";
  struct Files {
    const char* limit;
    const char* used;
    const char* stat;
  };
  for (const Files& files :
       {Files{"memory.max", "memory.current", "memory.stat"},
        Files{"memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes",
              "memory/memory.stat"}}) {
    const std::optional<int64_t> limit = ReadNumber(root + files.limit);
    const std::optional<int64_t> used = ReadNumber(root + files.used);
    if (!limit.has_value() || !used.has_value()) continue;
    const int64_t left = *limit - *used + ReadReclaimable(root + files.stat);
    return std::max<int64_t>(left, 0);
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<int64_t> AvailableHostMemory() {
  const std::optional<int64_t> system = ReadMemAvailable();
  const std::optional<int64_t> group = ReadControlGroupLeft();
  if (!system.has_value() && !group.has_value()) {
    return absl::InternalError(
        "neither /proc/meminfo nor the control group tells how much memory is "
        "available: set the KV cache's size");
  }
  constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();
  return std::min(system.value_or(kUnknown), group.value_or(kUnknown));
}

}  // namespace moe

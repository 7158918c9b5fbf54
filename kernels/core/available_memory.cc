#include "kernels/core/available_memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/control_groups.h"

namespace moe {
namespace {

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

}  // namespace

absl::StatusOr<int64_t> AvailableHostMemory() {
  const std::optional<int64_t> system = ReadMemAvailable();
  const int64_t group = ReadControlGroupLimits().memory_left;
  if (!system.has_value() && group == ControlGroupLimits::kNone) {
    return absl::InternalError(
        "neither /proc/meminfo nor a control group tells how much memory is "
        "available: set the KV cache's size");
  }
  return std::min(system.value_or(group), group);
}

std::string DescribeHostMemoryLimit() {
  const ControlGroupLimits limits = ReadControlGroupLimits();
  const int64_t system = ReadMemAvailable().value_or(ControlGroupLimits::kNone);
  if (limits.memory_file.empty() || system < limits.memory_left) return "";
  return absl::StrCat("the limit ", limits.memory_limit, " in ",
                      limits.memory_file);
}

}  // namespace moe

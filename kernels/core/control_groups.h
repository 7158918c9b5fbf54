#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace moe {

// What the control groups of this process (versions 1 and 2), from its own up
// to the root, leave it. Each is the smallest of all groups above the process,
// with the file that sets it ("": none does).
struct ControlGroupLimits {
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

  // CPU time for each second: a quota of half a CPU is 0.5.
  double cpus = std::numeric_limits<double>::infinity();
  std::string cpus_file;

  // Bytes that can still be allocated; page cache that the kernel gives back
  // under pressure counts as free.
  int64_t memory_left = kNone;
  int64_t memory_limit = kNone;  // of the same group
  std::string memory_file;

  // Threads and processes that can still be started.
  int64_t tasks_left = kNone;
  int64_t task_limit = kNone;  // of the same group
  std::string tasks_file;
};

// `root`: before /proc and the mount points; not "" in tests.
ControlGroupLimits ReadControlGroupLimits(const std::string& root = "");

}  // namespace moe

#include "kernels/core/control_groups.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace moe {
namespace {

// A mounted hierarchy of groups.
struct Mount {
  bool version2 = false;
  std::vector<std::string> controllers;  // of version 1
  std::string group;                     // what is mounted: "/" or a group
  std::string folder;                    // where
};

// "36 25 0:31 /group /folder rw,nosuid ... - cgroup cgroup rw,memory".
std::vector<Mount> ReadMounts(const std::string& root) {
  std::ifstream file(root + "/proc/self/mountinfo");
  std::vector<Mount> mounts;
  std::string line;
  while (std::getline(file, line)) {
    const std::vector<std::string> halves =
        absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    if (halves.size() != 2) continue;
    const std::vector<std::string> place = absl::StrSplit(halves[0], ' ');
    const std::vector<std::string> type = absl::StrSplit(halves[1], ' ');
    if (place.size() < 5 || type.size() < 3) continue;
    if (type[0] != "cgroup" && type[0] != "cgroup2") continue;
    Mount mount;
    mount.version2 = type[0] == "cgroup2";
    mount.controllers = absl::StrSplit(type[2], ',');
    mount.group = place[3];
    mount.folder = root + place[4];
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

// The process's group in the hierarchy of version 2 ("0::/group"), or in that
// of a controller of version 1 ("4:cpu,cpuacct:/group").
std::optional<std::string> ReadGroup(const std::string& root,
                                     absl::string_view controller) {
  std::ifstream file(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    const std::vector<std::string> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const std::vector<absl::string_view> names = absl::StrSplit(fields[1], ',');
    if (controller.empty() ? fields[0] == "0" && fields[1].empty()
                           : absl::c_linear_search(names, controller)) {
      return fields[2];
    }
  }
  return std::nullopt;
}

// The folders of the process's group and of those above it, as far as they are
// mounted here. A container may see less than its path says: then what is
// mounted is its own.
std::vector<std::string> FoldersAbove(const Mount& mount,
                                      absl::string_view group) {
  if (mount.group != "/" && (!absl::ConsumePrefix(&group, mount.group) ||
                             !(group.empty() || group[0] == '/'))) {
    group = "";
  }
  if (absl::StrContains(group, "/..")) group = "";
  std::string path(absl::StripSuffix(group, "/"));
  std::vector<std::string> folders;
  while (!path.empty()) {
    folders.push_back(mount.folder + path);
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
  folders.push_back(mount.folder);
  return folders;
}

struct Folder {
  bool version2 = false;
  std::string path;
};

std::vector<Folder> FoldersOf(const std::string& root,
                              absl::string_view controller) {
  std::vector<Folder> folders;
  for (const Mount& mount : ReadMounts(root)) {
    if (!mount.version2 &&
        !absl::c_linear_search(mount.controllers, controller)) {
      continue;
    }
    const std::optional<std::string> group =
        ReadGroup(root, mount.version2 ? "" : controller);
    for (std::string& path : FoldersAbove(mount, group.value_or(""))) {
      folders.push_back({mount.version2, std::move(path)});
    }
  }
  return folders;
}

// The numbers at the begin of a file; "max" is not one.
std::optional<int64_t> ReadNumber(const std::string& path, int index = 0) {
  std::ifstream file(path);
  std::string word;
  for (int i = 0; i <= index; ++i) {
    if (!(file >> word)) return std::nullopt;
  }
  int64_t value = 0;
  if (!absl::SimpleAtoi(word, &value)) return std::nullopt;
  return value;
}

// Page cache that the group counts as used but gives back.
int64_t ReadReclaimable(const std::string& path) {
  std::ifstream file(path);
  std::string key;
  int64_t value = 0, own = 0, total = -1;
  while (file >> key >> value) {
    if (key == "inactive_file") own = value;
    if (key == "total_inactive_file") total = value;  // with groups below
  }
  return total >= 0 ? total : own;
}

void ReadCpus(const std::string& root, ControlGroupLimits& limits) {
  for (const Folder& folder : FoldersOf(root, "cpu")) {
    const std::string file = absl::StrCat(
        folder.path, folder.version2 ? "/cpu.max" : "/cpu.cfs_quota_us");
    const std::optional<int64_t> quota = ReadNumber(file);
    const std::optional<int64_t> period =
        folder.version2 ? ReadNumber(file, 1)
                        : ReadNumber(folder.path + "/cpu.cfs_period_us");
    if (!quota.has_value() || !period.has_value()) continue;
    if (*quota <= 0 || *period <= 0) continue;  // -1: no quota
    const double cpus =
        static_cast<double>(*quota) / static_cast<double>(*period);
    if (cpus >= limits.cpus) continue;
    limits.cpus = cpus;
    limits.cpus_file = file;
  }
}

void ReadMemory(const std::string& root, ControlGroupLimits& limits) {
  // Version 1 says "none" with the largest multiple of a page.
  constexpr int64_t kNoLimit = int64_t{1} << 62;
  for (const Folder& folder : FoldersOf(root, "memory")) {
    const std::string file =
        absl::StrCat(folder.path, folder.version2 ? "/memory.max"
                                                  : "/memory.limit_in_bytes");
    const std::optional<int64_t> limit = ReadNumber(file);
    const std::optional<int64_t> used = ReadNumber(
        absl::StrCat(folder.path, folder.version2 ? "/memory.current"
                                                  : "/memory.usage_in_bytes"));
    if (!limit.has_value() || !used.has_value() || *limit >= kNoLimit) continue;
    const int64_t left = std::max<int64_t>(
        *limit - *used + ReadReclaimable(folder.path + "/memory.stat"), 0);
    if (left >= limits.memory_left) continue;
    limits.memory_left = left;
    limits.memory_limit = *limit;
    limits.memory_file = file;
  }
}

void ReadTasks(const std::string& root, ControlGroupLimits& limits) {
  for (const Folder& folder : FoldersOf(root, "pids")) {
    const std::string file = folder.path + "/pids.max";
    const std::optional<int64_t> limit = ReadNumber(file);
    const std::optional<int64_t> used =
        ReadNumber(folder.path + "/pids.current");
    if (!limit.has_value() || !used.has_value()) continue;
    const int64_t left = std::max<int64_t>(*limit - *used, 0);
    if (left >= limits.tasks_left) continue;
    limits.tasks_left = left;
    limits.task_limit = *limit;
    limits.tasks_file = file;
  }
}

}  // namespace

ControlGroupLimits ReadControlGroupLimits(const std::string& root) {
  ControlGroupLimits limits;
  ReadCpus(root, limits);
  ReadMemory(root, limits);
  ReadTasks(root, limits);
  return limits;
}

}  // namespace moe

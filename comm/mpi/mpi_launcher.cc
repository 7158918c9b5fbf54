#include "comm/mpi/mpi_launcher.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace moe {
namespace {

constexpr std::array<absl::string_view, 9> kLaunchers = {
    "mpirun", "mpiexec", "orterun",    "orted", "prterun",
    "prte",   "prted",   "slurmstepd", "srun"};

// Scripts between a rank and its launcher.
constexpr int kMaxAncestors = 16;

struct ProcessStat {
  std::string name;
  char state = 0;
  pid_t parent = 0;
  uint64_t started = 0;
};

// "42 (a name) S 41 ..."; the name may contain anything.
std::optional<ProcessStat> ReadStat(const std::string& proc, pid_t pid) {
  std::ifstream file(absl::StrCat(proc, "/", pid, "/stat"));
  const std::string text((std::istreambuf_iterator<char>(file)),
                         std::istreambuf_iterator<char>());
  const size_t begin = text.find('('), end = text.rfind(')');
  if (begin == std::string::npos || end == std::string::npos) {
    return std::nullopt;
  }
  const std::vector<absl::string_view> fields = absl::StrSplit(
      absl::string_view(text).substr(end + 1), ' ', absl::SkipEmpty());
  ProcessStat stat;
  stat.name = text.substr(begin + 1, end - begin - 1);
  // After the name: the state, the parent, and as the 20th the start.
  if (fields.size() < 20 || !absl::SimpleAtoi(fields[1], &stat.parent) ||
      !absl::SimpleAtoi(fields[19], &stat.started)) {
    return std::nullopt;
  }
  stat.state = fields[0][0];
  return stat;
}

bool IsLauncher(const std::string& name) {
  return std::find(kLaunchers.begin(), kLaunchers.end(), name) !=
         kLaunchers.end();
}

}  // namespace

MpiLauncher::MpiLauncher(std::string proc)
    : proc_(std::move(proc)), pid_(getppid()) {
  pid_t pid = pid_;
  for (int i = 0; i < kMaxAncestors && pid > 1; ++i) {
    const std::optional<ProcessStat> stat = ReadStat(proc_, pid);
    if (!stat.has_value()) return;
    const bool found = IsLauncher(stat->name);
    if (i == 0 || found) {
      pid_ = pid;
      name_ = stat->name;
      started_ = stat->started;
    }
    if (found) return;
    pid = stat->parent;
  }
}

absl::Status MpiLauncher::Check() const {
  if (getppid() == pid_) return absl::OkStatus();
  const std::optional<ProcessStat> stat = ReadStat(proc_, pid_);
  if (started_ != 0 && stat.has_value() && stat->started == started_ &&
      stat->state != 'Z' && stat->state != 'X') {
    return absl::OkStatus();
  }
  return absl::UnavailableError(
      IsLauncher(name_)
          ? absl::StrCat(name_, " (pid ", pid_,
                         "), which started it, has ended")
          : absl::StrCat(
                "its parent process, pid ", pid_,
                name_.empty() ? "" : absl::StrCat(" (", name_, ")"),
                ", has ended, and no MPI launcher was found above it"));
}

}  // namespace moe

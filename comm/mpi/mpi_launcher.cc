#include "comm/mpi/mpi_launcher.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace moe {
namespace {

// How their names begin ("mpirun.openmpi").
constexpr std::array<absl::string_view, 6> kLaunchers = {
    "mpirun", "mpiexec", "orte", "prte", "slurmstepd", "srun"};

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
  return std::any_of(kLaunchers.begin(), kLaunchers.end(),
                     [&](absl::string_view launcher) {
                       return absl::StartsWith(name, launcher);
                     });
}

}  // namespace

MpiLauncher::MpiLauncher(std::string proc)
    : proc_(std::move(proc)), pid_(getppid()) {
  pid_t pid = pid_;
  for (int i = 0; i < kMaxAncestors && !found_ && pid > 0; ++i) {
    const std::optional<ProcessStat> stat = ReadStat(proc_, pid);
    if (!stat.has_value()) return;
    found_ = IsLauncher(stat->name);
    if (i == 0 || found_) {
      pid_ = pid;
      name_ = stat->name;
      started_ = stat->started;
    }
    pid = stat->parent;
  }
  reached_top_ = !found_ && pid == 0;
}

absl::Status MpiLauncher::CheckPidNamespace() const {
  const char* const local_size = std::getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  if (!reached_top_ || local_size == nullptr ||
      absl::string_view(local_size) == "1") {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "this rank is one of ", local_size,
      " that mpirun has started on this machine, but mpirun is not among its "
      "ancestors: it has process ids of its own (a pid namespace), and Open "
      "MPI "
      "finds ranks by theirs. Run all ranks of a machine in one container, "
      "with "
      "mpirun inside, or let their containers share the process ids (docker "
      "run "
      "--pid, in Kubernetes shareProcessNamespace)"));
}

absl::Status MpiLauncher::Check() const {
  if (getppid() == pid_) return absl::OkStatus();
  const std::optional<ProcessStat> stat = ReadStat(proc_, pid_);
  if (started_ != 0 && stat.has_value() && stat->started == started_ &&
      stat->state != 'Z' && stat->state != 'X') {
    return absl::OkStatus();
  }
  return absl::UnavailableError(
      found_ ? absl::StrCat(name_, " (pid ", pid_,
                            "), which started it, has ended")
             : absl::StrCat(
                   "its parent process, pid ", pid_,
                   name_.empty() ? "" : absl::StrCat(" (", name_, ")"),
                   ", has ended, and no MPI launcher was found above it"));
}

}  // namespace moe

#include "comm/mpi/mpi_shared_memory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace moe {
namespace {

// As the transport "vader" and the windows "osc sm" name them.
constexpr char kSegment[] = "/dev/shm/vader_segment.";
constexpr char kWindow[] = "/dev/shm/osc_sm.";

// The files with one of the two names that this process has mapped. (The name
// of one that is gone already ends with " (deleted)".)
std::set<std::string> MappedFiles() {
  std::ifstream maps("/proc/self/maps");
  std::set<std::string> files;
  std::string line;
  while (std::getline(maps, line)) {
    for (const char* prefix : {kSegment, kWindow}) {
      // Each line ends with the path.
      const size_t path = line.find(prefix);
      if (path != std::string::npos) files.insert(line.substr(path));
    }
  }
  return files;
}

}  // namespace

absl::Status ReserveMpiSharedMemory() {
  for (const std::string& path : MappedFiles()) {
    const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (file < 0) continue;  // another rank's, gone already
    struct stat status = {};
    int error = fstat(file, &status) == 0 ? 0 : errno;
    if (error == 0 && status.st_size > 0) {
      error = posix_fallocate(file, 0, status.st_size);
    }
    close(file);
    // A file system that cannot reserve is no reason not to start.
    if (error == 0 || error == EOPNOTSUPP || error == EINVAL) continue;
    return absl::ResourceExhaustedError(absl::StrCat(
        "Open MPI's shared memory ", path, " needs ", status.st_size,
        " bytes, and /dev/shm has no room for them (", std::strerror(error),
        "): remove old files there, or make it larger (docker run --shm-size, "
        "in Kubernetes an emptyDir of medium Memory at /dev/shm); each rank of "
        "the machine needs as much"));
  }
  return absl::OkStatus();
}

void UnlinkMpiSharedMemory() {
  for (const std::string& path : MappedFiles()) {
    if (absl::StartsWith(path, kSegment)) unlink(path.c_str());
  }
}

}  // namespace moe

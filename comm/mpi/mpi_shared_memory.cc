#include "comm/mpi/mpi_shared_memory.h"

#include <unistd.h>

#include <fstream>
#include <string>

namespace moe {

void UnlinkMpiSharedMemory() {
  // As the transport "vader" names them; each line of maps ends with the path.
  const std::string prefix = "/dev/shm/vader_segment.";
  std::ifstream maps("/proc/self/maps");
  std::string line;
  while (std::getline(maps, line)) {
    const size_t path = line.find(prefix);
    // (The name of one that is gone already ends with " (deleted)".)
    if (path != std::string::npos) unlink(line.c_str() + path);
  }
}

}  // namespace moe

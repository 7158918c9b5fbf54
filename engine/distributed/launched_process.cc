#include "engine/distributed/launched_process.h"

#include <limits.h>
#include <unistd.h>

#include <cstdlib>

namespace moe {

std::string HostName() {
  char name[HOST_NAME_MAX + 1] = "";
  gethostname(name, sizeof(name) - 1);
  return name;
}

bool LaunchedByMpi() {
  if (const char* size = std::getenv("OMPI_COMM_WORLD_SIZE")) {
    return std::string(size) != "1";
  }
  return std::getenv("PMIX_RANK") != nullptr ||
         std::getenv("PMI_RANK") != nullptr;
}

}  // namespace moe

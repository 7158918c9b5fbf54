#include "engine/distributed/launched_process.h"

#include <limits.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace moe {

std::string HostName() {
  char name[HOST_NAME_MAX + 1] = "";
  gethostname(name, sizeof(name) - 1);
  return name;
}

absl::StatusOr<bool> LaunchedByMpi() {
  const auto is_one = [](const char* size) { return std::string(size) == "1"; };
  if (const char* size = std::getenv("OMPI_COMM_WORLD_SIZE")) {
    return !is_one(size);
  }
  const char* const pmix_rank = std::getenv("PMIX_RANK");
  const char* const pmi_rank = std::getenv("PMI_RANK");
  if (pmix_rank == nullptr && pmi_rank == nullptr) return false;
  for (const char* variable :
       {"PMI_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}) {
    const char* const size = std::getenv(variable);
    if (size != nullptr) {
      if (is_one(size)) return false;
      break;
    }
  }
  if (pmix_rank != nullptr) return true;
  const char* const size = std::getenv("PMI_SIZE");
  return absl::FailedPreconditionError(absl::StrCat(
      "PMI_RANK=", pmi_rank, " and PMI_SIZE=", size == nullptr ? "" : size,
      " say that a launcher has started this process as one of several by PMI, "
      "but Open MPI joins a job by PMIx only (PMIX_RANK is not set): start the "
      "ranks with mpirun or with srun --mpi=pmix, or unset PMI_RANK to run one "
      "rank"));
}

}  // namespace moe

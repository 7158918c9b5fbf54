#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace moe {

// The machine's host name.
std::string HostName();

// True if a launcher (mpirun, or another that uses PMI) has started this
// process as one of several: by the environment's OMPI_COMM_WORLD_SIZE, or by
// PMIX_RANK or PMI_RANK unless the job step has one task (PMI_SIZE,
// SLURM_STEP_NUM_TASKS). kFailedPrecondition, naming the variables, if Open MPI
// cannot join that launcher's job.
absl::StatusOr<bool> LaunchedByMpi();

}  // namespace moe

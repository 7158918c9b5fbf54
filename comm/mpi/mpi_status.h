#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace moe {

// OK for MPI_SUCCESS; else a Status whose code follows the error's class and
// whose message is "<what>: <MPI's text>". The one place that reads MPI codes.
// Requires MPI to be initialised.
absl::Status MpiToStatus(int mpi_code, absl::string_view what);

}  // namespace moe

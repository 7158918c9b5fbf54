#include "comm/mpi/mpi_status.h"

#include <mpi.h>

#include "absl/strings/str_cat.h"

namespace moe {
namespace {

absl::StatusCode CodeOfClass(int error_class) {
  switch (error_class) {
    case MPI_ERR_BUFFER:
    case MPI_ERR_COUNT:
    case MPI_ERR_TYPE:
    case MPI_ERR_TAG:
    case MPI_ERR_RANK:
    case MPI_ERR_ROOT:
    case MPI_ERR_ARG:
    case MPI_ERR_DIMS:
      return absl::StatusCode::kInvalidArgument;
    case MPI_ERR_COMM:
    case MPI_ERR_GROUP:
    case MPI_ERR_REQUEST:
      return absl::StatusCode::kFailedPrecondition;
    case MPI_ERR_NO_MEM:
    case MPI_ERR_NO_SPACE:
      return absl::StatusCode::kResourceExhausted;
    case MPI_ERR_UNSUPPORTED_OPERATION:
      return absl::StatusCode::kUnimplemented;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status MpiToStatus(int mpi_code, absl::string_view what) {
  if (mpi_code == MPI_SUCCESS) return absl::OkStatus();
  int error_class = MPI_ERR_UNKNOWN;
  if (MPI_Error_class(mpi_code, &error_class) != MPI_SUCCESS) {
    return absl::InternalError(
        absl::StrCat(what, ": MPI error ", mpi_code, ", of no known class"));
  }
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(mpi_code, text, &length);
  return absl::Status(
      CodeOfClass(error_class),
      absl::StrCat(what, ": ", absl::string_view(text, length)));
}

}  // namespace moe

#include "comm/mpi/mpi_runtime.h"

#include <mpi.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "comm/deadline.h"
#include "comm/mpi/mpi_communicator.h"
#include "comm/mpi/mpi_status.h"
#include "comm/mpi/mpi_transfer.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

std::string ThreadLevelName(int level) {
  switch (level) {
    case MPI_THREAD_SINGLE:
      return "MPI_THREAD_SINGLE";
    case MPI_THREAD_FUNNELED:
      return "MPI_THREAD_FUNNELED";
    case MPI_THREAD_SERIALIZED:
      return "MPI_THREAD_SERIALIZED";
    case MPI_THREAD_MULTIPLE:
      return "MPI_THREAD_MULTIPLE";
    default:
      return absl::StrCat("thread level ", level);
  }
}

MpiVersions ReadVersions(int thread_level) {
  MpiVersions versions;
  char library[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(library, &length);
  versions.library.assign(library, length);
  // Some end it with a NUL or a newline.
  while (!versions.library.empty() && versions.library.back() <= ' ') {
    versions.library.pop_back();
  }
  int major = 0, minor = 0;
  MPI_Get_version(&major, &minor);
  versions.standard = absl::StrCat(major, ".", minor);
  versions.thread_level = ThreadLevelName(thread_level);
  return versions;
}

}  // namespace

absl::StatusOr<std::unique_ptr<MpiRuntime>> MpiRuntime::Init(int* argc,
                                                             char*** argv) {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized) {
    return absl::FailedPreconditionError(
        "MpiRuntime: MPI is already initialised in this process; it can be "
        "only "
        "once");
  }
  int level = MPI_THREAD_SINGLE;
  // Before it MPI cannot turn codes into text, and by default it ends the
  // process itself on an error here.
  if (const int code = MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &level);
      code != MPI_SUCCESS) {
    return absl::InternalError(
        absl::StrCat("MPI_Init_thread: MPI error ", code));
  }
  auto runtime = std::unique_ptr<MpiRuntime>(new MpiRuntime);
  runtime->versions_ = ReadVersions(level);
  for (MPI_Comm comm : {MPI_COMM_WORLD, MPI_COMM_SELF}) {
    RETURN_IF_ERROR(
        MpiToStatus(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN),
                    "MPI_Comm_set_errhandler"));
  }
  RETURN_IF_ERROR(MpiToStatus(
      MPI_Comm_rank(MPI_COMM_WORLD, &runtime->world_rank_), "MPI_Comm_rank"));
  RETURN_IF_ERROR(MpiToStatus(
      MPI_Comm_size(MPI_COMM_WORLD, &runtime->world_size_), "MPI_Comm_size"));
  if (level < MPI_THREAD_MULTIPLE) {
    const std::string have = runtime->versions_.thread_level;
    MPI_Finalize();
    return absl::FailedPreconditionError(absl::StrCat(
        "MpiRuntime: this MPI provides ", have,
        "; MPI_THREAD_MULTIPLE is needed (", runtime->versions_.library, ")"));
  }
  runtime->owns_mpi_ = true;
  return runtime;
}

MpiRuntime::~MpiRuntime() { Finalize().IgnoreError(); }

absl::StatusOr<std::unique_ptr<HostCommunicator>> MpiRuntime::MakeWorld(
    const CommunicatorOptions& options) {
  return MakeMpiCommunicator(MPI_COMM_WORLD, "world", options);
}

absl::Status MpiRuntime::Finalize(absl::Duration timeout) {
  if (!owns_mpi_) return absl::OkStatus();
  owns_mpi_ = false;
  MPI_Request barrier = MPI_REQUEST_NULL;
  RETURN_IF_ERROR(MpiToStatus(MPI_Ibarrier(MPI_COMM_WORLD, &barrier),
                              "MPI_Ibarrier before MPI_Finalize"));
  PollingWait wait{Deadline(timeout)};
  int done = 0;
  while (true) {
    RETURN_IF_ERROR(MpiToStatus(MPI_Test(&barrier, &done, MPI_STATUS_IGNORE),
                                "MPI_Test before MPI_Finalize"));
    if (done) break;
    if (!wait.Next()) {
      return absl::DeadlineExceededError(
          absl::StrCat("MpiRuntime: rank ", world_rank_, " of ", world_size_,
                       " waited ", absl::FormatDuration(timeout),
                       " for its peers to finish; MPI is not finalised"));
    }
  }
  return MpiToStatus(MPI_Finalize(), "MPI_Finalize");
}

void MpiRuntime::AbortJob(int exit_code) {
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  _exit(exit_code);
}

}  // namespace moe

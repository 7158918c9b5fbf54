#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "comm/host_communicator.h"

namespace moe {

// MPI as this process has it.
struct MpiVersions {
  std::string library;       // "Open MPI v4.1.4, package: ..."
  std::string standard;      // "3.1"
  std::string thread_level;  // "MPI_THREAD_MULTIPLE"
};

// Owns MPI in this process: at most one in a process's life, made in main
// before anything else of MPI and destroyed after every communicator.
// Thread-compatible.
class MpiRuntime {
 public:
  // MPI_Init_thread, with errors returned instead of ending the job.
  // kFailedPrecondition if MPI was initialised before, or gives less than
  // MPI_THREAD_MULTIPLE. A process that mpirun did not start becomes a world of
  // one rank.
  static absl::StatusOr<std::unique_ptr<MpiRuntime>> Init(int* argc,
                                                          char*** argv);
  // Finalize, if that has not been called.
  ~MpiRuntime();
  MpiRuntime(const MpiRuntime&) = delete;
  MpiRuntime& operator=(const MpiRuntime&) = delete;

  int world_rank() const { return world_rank_; }
  int world_size() const { return world_size_; }
  const MpiVersions& versions() const { return versions_; }

  // A group of all ranks, named "world". Collective.
  absl::StatusOr<std::unique_ptr<HostCommunicator>> MakeWorld(
      const CommunicatorOptions& options = {});

  // Ends MPI after all ranks have arrived here. If a peer does not within
  // `timeout`, MPI is not finalised, since MPI_Finalize would wait for
  // ever, and the error says so: leave the process with _exit or AbortJob.
  absl::Status Finalize(absl::Duration timeout = absl::Seconds(10));

  // Has the launcher end all processes of the job with `exit_code`; does not
  // return.
  [[noreturn]] static void AbortJob(int exit_code);

 private:
  MpiRuntime() = default;

  int world_rank_ = 0;
  int world_size_ = 1;
  MpiVersions versions_;
  bool owns_mpi_ = false;  // until it is finalised or abandoned
};

}  // namespace moe

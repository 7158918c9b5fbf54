#include "comm/mpi/mpi_world.h"

#include <mpi.h>
#include <unistd.h>

#include <utility>

#include "comm/mpi/mpi_communicator.h"
#include "comm/mpi/mpi_idle_doorbell.h"
#include "comm/mpi/mpi_runtime.h"
#include "comm/mpi/mpi_shared_memory.h"
#include "comm/mpi/mpi_topology.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

class MpiWorld : public World {
 public:
  // `launcher`: mpirun, or its daemon on this host.
  MpiWorld(pid_t launcher, std::unique_ptr<MpiRuntime> mpi,
           std::unique_ptr<HostCommunicator> communicator)
      : launcher_(launcher),
        mpi_(std::move(mpi)),
        communicator_(std::move(communicator)) {}

  ~MpiWorld() override {
    communicator_.reset();
    if (abandoned_)
      mpi_.release();  // NOLINT: MPI_Finalize would wait for peers
  }

  HostCommunicator& communicator() override { return *communicator_; }

  absl::StatusOr<Topology> DetectTopology() override {
    return DetectMpiTopology(MPI_COMM_WORLD, *communicator_);
  }

  absl::StatusOr<std::unique_ptr<HostCommunicator>> MakeGroup(
      const std::string& name, const CommunicatorOptions& options) override {
    RETURN_IF_ERROR(communicator_->Barrier());  // bounded, unlike the next call
    return MakeMpiCommunicator(MPI_COMM_WORLD, name, options);
  }

  absl::StatusOr<std::unique_ptr<IdleDoorbell>> MakeDoorbell(
      const Topology& topology) override {
    return MakeMpiDoorbell(MPI_COMM_WORLD, *communicator_, topology);
  }

  absl::Status CheckLauncher() const override {
    if (getppid() == launcher_) return absl::OkStatus();
    return absl::UnavailableError("mpirun, which started it, has ended");
  }

  void RemoveSharedFiles() override { UnlinkMpiSharedMemory(); }

  absl::Status Finalize(absl::Duration timeout) override {
    communicator_.reset();
    return mpi_->Finalize(timeout);
  }

  void Abandon() override { abandoned_ = true; }

 private:
  const pid_t launcher_;
  std::unique_ptr<MpiRuntime> mpi_;
  std::unique_ptr<HostCommunicator> communicator_;
  bool abandoned_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<World>> JoinMpiWorld(
    int* argc, char*** argv, const CommunicatorOptions& options) {
  const pid_t launcher = getppid();
  ASSIGN_OR_RETURN(std::unique_ptr<MpiRuntime> mpi,
                   MpiRuntime::Init(argc, argv));
  ASSIGN_OR_RETURN(std::unique_ptr<HostCommunicator> communicator,
                   mpi->MakeWorld(options));
  return std::make_unique<MpiWorld>(launcher, std::move(mpi),
                                    std::move(communicator));
}

}  // namespace moe

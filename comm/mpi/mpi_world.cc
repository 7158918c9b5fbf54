#include "comm/mpi/mpi_world.h"

#include <mpi.h>

#include <utility>

#include "comm/mpi/mpi_communicator.h"
#include "comm/mpi/mpi_idle_doorbell.h"
#include "comm/mpi/mpi_launcher.h"
#include "comm/mpi/mpi_runtime.h"
#include "comm/mpi/mpi_shared_memory.h"
#include "comm/mpi/mpi_single_copy.h"
#include "comm/mpi/mpi_topology.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

class MpiWorld : public World {
 public:
  MpiWorld(MpiLauncher launcher, std::unique_ptr<MpiRuntime> mpi,
           std::unique_ptr<HostCommunicator> communicator)
      : launcher_(std::move(launcher)),
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

  absl::Status CheckLauncher() const override { return launcher_.Check(); }

  absl::Status ReserveSharedFiles() override {
    return ReserveMpiSharedMemory();
  }
  void RemoveSharedFiles() override { UnlinkMpiSharedMemory(); }

  absl::Status Finalize(absl::Duration timeout) override {
    communicator_.reset();
    return mpi_->Finalize(timeout);
  }

  void Abandon() override { abandoned_ = true; }

 private:
  const MpiLauncher launcher_;
  std::unique_ptr<MpiRuntime> mpi_;
  std::unique_ptr<HostCommunicator> communicator_;
  bool abandoned_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<World>> JoinMpiWorld(
    int* argc, char*** argv, const CommunicatorOptions& options) {
  MpiLauncher launcher;
  RETURN_IF_ERROR(launcher.CheckPidNamespace());
  ChooseMpiSingleCopy();
  ASSIGN_OR_RETURN(std::unique_ptr<MpiRuntime> mpi,
                   MpiRuntime::Init(argc, argv));
  ASSIGN_OR_RETURN(std::unique_ptr<HostCommunicator> communicator,
                   mpi->MakeWorld(options));
  return std::make_unique<MpiWorld>(std::move(launcher), std::move(mpi),
                                    std::move(communicator));
}

}  // namespace moe

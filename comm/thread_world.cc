#include "comm/thread_world.h"

#include <string>
#include <utility>

#include "comm/idle_doorbell.h"
#include "comm/thread_communicator.h"

namespace moe {
namespace {

class ThreadWorld : public World {
 public:
  ThreadWorld(std::unique_ptr<HostCommunicator> communicator,
              std::unique_ptr<IdleDoorbell> doorbell, const Topology& topology)
      : communicator_(std::move(communicator)),
        doorbell_(std::move(doorbell)),
        topology_(topology) {}

  HostCommunicator& communicator() override { return *communicator_; }

  absl::StatusOr<Topology> DetectTopology() override { return topology_; }

  absl::StatusOr<std::unique_ptr<HostCommunicator>> MakeGroup(
      const std::string& name, const CommunicatorOptions&) override {
    return communicator_->Split(0, communicator_->rank(), name);
  }

  absl::StatusOr<std::unique_ptr<IdleDoorbell>> MakeDoorbell(
      const Topology&) override {
    if (doorbell_ == nullptr) {
      return absl::FailedPreconditionError("the doorbell is made already");
    }
    return std::move(doorbell_);
  }

  absl::Status CheckLauncher() const override { return absl::OkStatus(); }
  absl::Status ReserveSharedFiles() override { return absl::OkStatus(); }
  void RemoveSharedFiles() override {}

  absl::Status Finalize(absl::Duration) override {
    communicator_.reset();
    return absl::OkStatus();
  }

  void Abandon() override {}

 private:
  std::unique_ptr<HostCommunicator> communicator_;
  std::unique_ptr<IdleDoorbell> doorbell_;  // until MakeDoorbell
  const Topology topology_;
};

}  // namespace

std::vector<std::unique_ptr<World>> MakeThreadWorlds(
    int size, const Topology& topology, const CommunicatorOptions& options) {
  auto communicators = MakeThreadCommunicators(size, options);
  auto doorbells = MakeThreadDoorbells(size);
  std::vector<std::unique_ptr<World>> worlds;
  for (int r = 0; r < size; ++r) {
    worlds.push_back(std::make_unique<ThreadWorld>(
        std::move(communicators[r]), std::move(doorbells[r]), topology));
  }
  return worlds;
}

}  // namespace moe

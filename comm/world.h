#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "comm/host_communicator.h"
#include "comm/idle_doorbell.h"
#include "comm/topology.h"

namespace moe {

// All ranks of a job, and what can be made of all of them: processes that a
// launcher has started (comm/mpi/mpi_world.h), or threads of this process
// (comm/thread_world.h). Groups and doorbell must be destroyed before it.
// Thread-compatible, except where it says so.
class World {
 public:
  virtual ~World() = default;

  // The group of all ranks. Valid until Finalize.
  virtual HostCommunicator& communicator() = 0;

  // Which ranks share a machine. Collective.
  virtual absl::StatusOr<Topology> DetectTopology() = 0;

  // A new group of all ranks. Collective.
  virtual absl::StatusOr<std::unique_ptr<HostCommunicator>> MakeGroup(
      const std::string& name, const CommunicatorOptions& options) = 0;

  // Once. Collective. `topology` may show more nodes than there are.
  virtual absl::StatusOr<std::unique_ptr<IdleDoorbell>> MakeDoorbell(
      const Topology& topology) = 0;

  // kUnavailable if the launcher, which ends the other ranks and removes their
  // files, has died. Any thread.
  virtual absl::Status CheckLauncher() const = 0;

  // Gives the files in memory that the ranks share all of their room: a page
  // that finds none later would end the process with SIGBUS. kResourceExhausted
  // that names the file and what it needs. Any thread.
  virtual absl::Status ReserveSharedFiles() = 0;

  // Removes the files that the ranks share. For a job that has failed: there
  // may be no other process left that would. Any thread.
  virtual void RemoveSharedFiles() = 0;

  // Ends the world after all ranks have arrived here. An error if a peer does
  // not within `timeout`; then leave the process with _exit.
  virtual absl::Status Finalize(absl::Duration timeout) = 0;

  // A rank has failed: the destructor does not wait for peers.
  virtual void Abandon() = 0;
};

}  // namespace moe

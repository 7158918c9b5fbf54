#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "comm/communicator.h"
#include "comm/host_communicator.h"
#include "comm/topology.h"
#include "engine/parallel/parallel_layout.h"
#include "kernels/core/cpu_backend.h"
#include "kernels/core/device_backend.h"

namespace moe {

// The groups that one MoE layer communicates in, borrowed from ProcessGroups.
struct MoeLayerGroups {
  Communicator* expert = nullptr;  // [ep]
  Communicator* slice = nullptr;   // [es]
  // The expert group cut in two ways. Its rank is
  //   node_of * G + rank in `expert_node` (null, both, if the group is not
  //   spread evenly over more than one node with more than one rank each), and
  //   rank in `expert_peers` * L + rank in `expert_replicas`, where the L
  //   replicas hold the same tokens.
  Communicator* expert_node = nullptr;      // [G] same node
  Communicator* expert_cross = nullptr;     // [N] same local rank
  Communicator* expert_replicas = nullptr;  // [L]
  Communicator* expert_peers = nullptr;     // [ep / L]
  // How the expert group lies on nodes, for the cost of its messages: N x G;
  // where `expert_node` is null, 1 x ep in one node, N x 1 with a rank on each
  // of N, and ep x 1, as if all messages left the node, for any other.
  NodeShape expert_shape;
};

// All groups of one rank, made once and owned here; layers with the same
// degrees share theirs. Thread-compatible, except Abort.
class ProcessGroups {
 public:
  // Collective over `world`, which is kept. All ranks must give equal
  // arguments, but for the backend, where the rank's tensors are: borrowed.
  static absl::StatusOr<std::unique_ptr<ProcessGroups>> Create(
      std::unique_ptr<HostCommunicator> world, const Topology& topology,
      const ParallelLayout& layout, DeviceBackend& backend = HostBackend());

  HostCommunicator& world() { return *world_; }
  HostCommunicator& data() { return *data_; }  // [data_degree]
  Communicator& tensor() { return *tensor_; }  // [tensor_degree]
  const MoeLayerGroups& moe_layer(int moe_layer_idx) const {
    return layers_[moe_layer_idx];
  }

  // Of all groups, for messages.
  void SetStep(int64_t step);
  // Aborts all groups (HostCommunicator::Abort); any thread.
  void Abort(const absl::Status& reason);
  // Every group once, the world first; for counters.
  std::vector<HostCommunicator*> All() const;

 private:
  explicit ProcessGroups(DeviceBackend& backend) : backend_(backend) {}

  absl::StatusOr<Communicator*> Split(int color, int key,
                                      const std::string& name);
  absl::StatusOr<MoeLayerGroups> MakeLayerGroups(
      const Topology& topology, const ExpertPlacement& placement,
      int replication);

  DeviceBackend& backend_;
  std::unique_ptr<HostCommunicator> world_;
  std::unique_ptr<HostCommunicator> data_;
  std::vector<std::unique_ptr<Communicator>> owned_;  // the others
  Communicator* tensor_ = nullptr;
  std::vector<MoeLayerGroups> layers_;
};

}  // namespace moe

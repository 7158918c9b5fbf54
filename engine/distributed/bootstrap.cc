#include "engine/distributed/bootstrap.h"

#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "comm/collectives/all_gather_bytes.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// "pid:[4026531836]".
std::string PidNamespace() {
  char name[64] = "";
  const ssize_t length = readlink("/proc/self/ns/pid", name, sizeof(name) - 1);
  return std::string(name, length < 0 ? 0 : length);
}

absl::StatusOr<std::vector<BootstrapRecord>> ExchangeRecords(
    HostCommunicator& all, const BootstrapRecord& own) {
  ASSIGN_OR_RETURN(const std::vector<std::string> gathered,
                   AllGatherBytes(all, own.Serialize()));
  std::vector<BootstrapRecord> ranks;
  for (const std::string& bytes : gathered) {
    ASSIGN_OR_RETURN(BootstrapRecord record, BootstrapRecord::Parse(bytes));
    ranks.push_back(std::move(record));
  }
  return ranks;
}

}  // namespace

absl::StatusOr<Topology> Bootstrap(World& world, const std::string& host,
                                   const absl::StatusOr<BootstrapInfo>& info) {
  HostCommunicator& all = world.communicator();
  ASSIGN_OR_RETURN(const std::vector<BootstrapRecord> ranks,
                   ExchangeRecords(all, {host, PidNamespace(), info}));
  ASSIGN_OR_RETURN(const Topology machines, world.DetectTopology());
  RETURN_IF_ERROR(ValidateBootstrap(ranks, machines));
  if (!info->node_shape.has_value()) return machines;
  ASSIGN_OR_RETURN(const Topology configured,
                   Topology::FromShape(*info->node_shape));
  if (configured.world_size() != all.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("parallel.node_shape is ", info->node_shape->num_nodes,
                     "x", info->node_shape->ranks_per_node,
                     ", but this job has ", all.size(), " ranks"));
  }
  return configured;
}

}  // namespace moe

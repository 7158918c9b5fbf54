#include "engine/distributed/bootstrap.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "comm/collectives/all_gather_bytes.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

absl::StatusOr<std::vector<StartRecord>> ExchangeRecords(
    HostCommunicator& all, const StartRecord& own) {
  ASSIGN_OR_RETURN(const std::vector<std::string> gathered,
                   AllGatherBytes(all, own.Serialize()));
  std::vector<StartRecord> ranks;
  for (const std::string& bytes : gathered) {
    ASSIGN_OR_RETURN(StartRecord record, StartRecord::Parse(bytes));
    ranks.push_back(std::move(record));
  }
  return ranks;
}

}  // namespace

absl::StatusOr<Topology> Bootstrap(World& world, const std::string& host,
                                   const absl::StatusOr<BootstrapInfo>& facts) {
  HostCommunicator& all = world.communicator();
  ASSIGN_OR_RETURN(const std::vector<StartRecord> ranks,
                   ExchangeRecords(all, {host, facts}));
  ASSIGN_OR_RETURN(const Topology machines, world.DetectTopology());
  RETURN_IF_ERROR(ValidateBootstrap(ranks, machines));
  if (!facts->node_shape.has_value()) return machines;
  ASSIGN_OR_RETURN(const Topology pretended,
                   Topology::FromShape(*facts->node_shape));
  if (pretended.world_size() != all.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("parallel.node_shape is ", facts->node_shape->num_nodes,
                     "x", facts->node_shape->ranks_per_node,
                     ", but this job has ", all.size(), " ranks"));
  }
  return pretended;
}

}  // namespace moe

#include "comm/host_communicator.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {

HostCommunicator::HostCommunicator(std::string name, int rank,
                                   std::vector<int> world_ranks,
                                   const CommunicatorOptions& options)
    : name_(std::move(name)),
      rank_(rank),
      world_ranks_(std::move(world_ranks)),
      options_(options) {}

absl::Status HostCommunicator::Exchange(
    absl::Span<const SendBuffer> sends,
    absl::Span<const ReceiveBuffer> receives, const char* operation) {
  ASSIGN_OR_RETURN(std::unique_ptr<PendingOperation> pending,
                   BeginExchange(sends, receives, operation));
  return pending->Wait();
}

std::string HostCommunicator::Describe() const {
  const int64_t step = step_;
  return absl::StrCat("group '", name_, "' (rank ", rank_, " of ", size(),
                      world_ranks_[rank_] == rank_
                          ? ""
                          : absl::StrCat(", world rank ", world_ranks_[rank_]),
                      ")", step < 0 ? "" : absl::StrCat(", step ", step));
}

std::string HostCommunicator::DescribePeer(int peer) const {
  if (world_ranks_[peer] == peer) return absl::StrCat("rank ", peer);
  return absl::StrCat("rank ", peer, " (world rank ", world_ranks_[peer], ")");
}

}  // namespace moe

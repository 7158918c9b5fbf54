#include "comm/collectives/exchange_counts.h"

#include <vector>

#include "absl/strings/str_cat.h"

namespace moe {

absl::StatusOr<std::unique_ptr<PendingOperation>> BeginExchangeCounts(
    HostCommunicator& group, absl::Span<const int64_t> send,
    absl::Span<int64_t> receive, const char* operation) {
  const auto size = static_cast<size_t>(group.size());
  if (send.size() != receive.size() || send.size() % size != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(operation, " in ", group.Describe(), ": ", send.size(),
                     " counts to send and ", receive.size(), " to receive"));
  }
  const size_t block = send.size() / size;
  std::vector<SendBuffer> sends;
  std::vector<ReceiveBuffer> receives;
  // From this rank on, or all would send to rank 0 first.
  for (int i = 0; i < group.size(); ++i) {
    const int to = (group.rank() + i) % group.size();
    const int from = (group.rank() + group.size() - i) % group.size();
    sends.push_back({to, &send[to * block], block * sizeof(int64_t)});
    receives.push_back({from, &receive[from * block], block * sizeof(int64_t)});
  }
  return group.BeginExchange(sends, receives, operation);
}

}  // namespace moe

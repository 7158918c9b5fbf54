#include "comm/collectives/exchange_counts.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "comm/kept_memory.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

struct Counts {
  std::vector<int64_t> sent;
  std::vector<int64_t> received;
};

// Owns what the transport reads and writes.
class CountExchange : public PendingOperation {
 public:
  CountExchange(HostCommunicator* group, std::vector<int64_t> send,
                absl::Span<int64_t> receive)
      : group_(*group),
        counts_(std::make_shared<Counts>(
            Counts{std::move(send), std::vector<int64_t>(receive.size())})),
        receive_(receive) {}

  ~CountExchange() override { Wait().IgnoreError(); }

  absl::Status Begin(const char* operation) {
    std::vector<SendBuffer> sends;
    std::vector<ReceiveBuffer> receives;
    const int own = group_.rank(), size = group_.size();
    const size_t block = counts_->sent.size() / size;
    const size_t bytes = block * sizeof(int64_t);
    // From this rank on, or all would send to rank 0 first.
    for (int i = 0; i < size; ++i) {
      const int to = (own + i) % size, from = (own + size - i) % size;
      sends.push_back({to, &counts_->sent[to * block], bytes});
      receives.push_back({from, &counts_->received[from * block], bytes});
    }
    auto exchange = group_.BeginExchange(sends, receives, operation);
    if (!exchange.ok()) {
      End(exchange.status());
      return result_;
    }
    exchange_ = *std::move(exchange);
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Poll() override {
    if (exchange_ != nullptr) {
      absl::StatusOr<bool> done = exchange_->Poll();
      if (done.ok() && !*done) return false;
      End(done.status());
    }
    RETURN_IF_ERROR(result_);
    return true;
  }

  absl::Status Wait() override {
    if (exchange_ != nullptr) End(exchange_->Wait());
    return result_;
  }

 private:
  void End(const absl::Status& result) {
    result_ = result;
    exchange_.reset();
    if (!result.ok()) {
      KeepUntilExit(counts_);
      return;
    }
    std::copy(counts_->received.begin(), counts_->received.end(),
              receive_.begin());
  }

  HostCommunicator& group_;
  const std::shared_ptr<Counts> counts_;
  const absl::Span<int64_t> receive_;
  std::unique_ptr<PendingOperation> exchange_;  // null: ended or not begun
  absl::Status result_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<PendingOperation>> BeginExchangeCounts(
    HostCommunicator& group, std::vector<int64_t> send,
    absl::Span<int64_t> receive, const char* operation) {
  const auto size = static_cast<size_t>(group.size());
  if (send.size() != receive.size() || send.size() % size != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(operation, " in ", group.Describe(), ": ", send.size(),
                     " counts to send and ", receive.size(), " to receive"));
  }
  auto exchange =
      std::make_unique<CountExchange>(&group, std::move(send), receive);
  RETURN_IF_ERROR(exchange->Begin(operation));
  return exchange;
}

}  // namespace moe

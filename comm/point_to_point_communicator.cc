#include "comm/point_to_point_communicator.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "comm/exchange_pieces.h"
#include "kernels/core/status_macros.h"

namespace moe {

PointToPointCommunicator::PointToPointCommunicator(
    std::string name, int rank, std::vector<int> world_ranks,
    const CommunicatorOptions& options)
    : HostCommunicator(std::move(name), rank, std::move(world_ranks), options) {
}

// Adds to a Transfer the messages, the counters and the final error.
class PointToPointCommunicator::PendingExchange : public PendingOperation {
 public:
  PendingExchange(PointToPointCommunicator* group,
                  std::unique_ptr<Transfer> transfer, const char* operation)
      : group_(group),
        transfer_(std::move(transfer)),
        operation_(operation),
        step_(group->step()) {}

  ~PendingExchange() override { Wait().IgnoreError(); }

  absl::StatusOr<bool> Poll() override {
    if (transfer_ == nullptr) return Result();
    const absl::Status failed = group_->status();
    if (!failed.ok()) return End(failed);
    absl::StatusOr<bool> done = transfer_->Poll();
    if (!done.ok()) return End(Explain(done.status()));
    if (*done) return End(absl::OkStatus());
    return false;
  }

  absl::Status Wait() override {
    if (transfer_ == nullptr) return result_;
    const absl::Status failed = group_->status();
    if (!failed.ok()) return End(failed).status();
    const Deadline deadline(group_->options().timeout);
    absl::StatusOr<bool> done = transfer_->WaitUntil(deadline);
    group_->counters_.wait_time += deadline.Elapsed();
    if (!done.ok()) return End(Explain(done.status())).status();
    if (*done) return End(absl::OkStatus()).status();
    std::vector<std::string> late;
    for (int peer : transfer_->PendingPeers()) {
      late.push_back(group_->DescribePeer(peer));
    }
    return End(Explain(absl::DeadlineExceededError(
                   absl::StrCat("no message exchanged within ",
                                absl::FormatDuration(group_->options().timeout),
                                " with ", absl::StrJoin(late, ", ")))))
        .status();
  }

 private:
  absl::StatusOr<bool> Result() const {
    if (!result_.ok()) return result_;
    return true;
  }

  absl::StatusOr<bool> End(const absl::Status& result) {
    result_ = result.ok() ? result : group_->Fail(result);
    transfer_.reset();
    return Result();
  }

  absl::Status Explain(const absl::Status& error) const {
    return absl::Status(
        error.code(),
        absl::StrCat(operation_, " in ", group_->Describe(),
                     step_ == group_->step()
                         ? ""
                         : absl::StrCat(", begun in step ", step_),
                     ": ", error.message()));
  }

  PointToPointCommunicator* const group_;
  std::unique_ptr<Transfer> transfer_;  // null once done
  const char* const operation_;
  const int64_t step_;
  absl::Status result_;
};

absl::Status PointToPointCommunicator::CheckMessage(
    int peer, const void* data, size_t bytes, const char* what,
    const char* operation) const {
  if (peer < 0 || peer >= size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(operation, " in ", Describe(), ": ", what, " rank ", peer,
                     " is not in 0..", size() - 1));
  }
  if (data == nullptr && bytes > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(operation, " in ", Describe(), ": ", what, " rank ", peer,
                     ": null buffer for ", bytes, " bytes"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<PendingOperation>>
PointToPointCommunicator::BeginExchange(
    absl::Span<const SendBuffer> sends,
    absl::Span<const ReceiveBuffer> receives, const char* operation) {
  auto begun = BeginNumbered(sends, receives, operation, next_sequence_);
  if (begun.ok()) ++next_sequence_;  // not for a bad argument: peers wait on
  return begun;
}

absl::StatusOr<std::unique_ptr<PendingOperation>>
PointToPointCommunicator::BeginNumbered(
    absl::Span<const SendBuffer> sends,
    absl::Span<const ReceiveBuffer> receives, const char* operation,
    uint64_t sequence) {
  RETURN_IF_ERROR(status());
  for (const SendBuffer& send : sends) {
    RETURN_IF_ERROR(
        CheckMessage(send.peer, send.data, send.bytes, "send to", operation));
  }
  for (const ReceiveBuffer& receive : receives) {
    RETURN_IF_ERROR(CheckMessage(receive.peer, receive.data, receive.bytes,
                                 "receive from", operation));
  }
  RETURN_IF_ERROR(CopyToSelf(rank(), sends, receives, operation));
  const std::vector<SendBuffer> out =
      SplitIntoPieces(sends, rank(), options().max_message_bytes);
  const std::vector<ReceiveBuffer> in =
      SplitIntoPieces(receives, rank(), options().max_message_bytes);
  ++counters_.operations;
  counters_.messages_sent += static_cast<int64_t>(out.size());
  counters_.messages_received += static_cast<int64_t>(in.size());
  for (const SendBuffer& send : out) counters_.bytes_sent += send.bytes;
  for (const ReceiveBuffer& receive : in) {
    counters_.bytes_received += receive.bytes;
  }
  absl::StatusOr<std::unique_ptr<Transfer>> transfer = Start(out, in, sequence);
  if (!transfer.ok()) {
    return Fail(absl::Status(transfer.status().code(),
                             absl::StrCat(operation, " in ", Describe(), ": ",
                                          transfer.status().message())));
  }
  return std::make_unique<PendingExchange>(this, *std::move(transfer),
                                           operation);
}

absl::Status PointToPointCommunicator::Fail(const absl::Status& error) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (status_.ok()) status_ = error;
  return status_;
}

absl::Status PointToPointCommunicator::status() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return status_;
}

absl::Status PointToPointCommunicator::abort_reason() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return abort_reason_;
}

void PointToPointCommunicator::Abort(const absl::Status& reason) {
  const std::string text =
      absl::StrCat(DescribePeer(rank()), " gave the group up: ",
                   reason.ToString(absl::StatusToStringMode::kWithNoExtraData));
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!abort_reason_.ok()) return;  // aborted already
    abort_reason_ = absl::AbortedError(text);
    if (status_.ok()) {
      status_ = absl::AbortedError(absl::StrCat(Describe(), ": ", text));
    }
  }
  SendAbort(text);
}

absl::StatusOr<std::unique_ptr<HostCommunicator>>
PointToPointCommunicator::Split(int color, int key, const std::string& name) {
  if (color < -1) {
    return absl::InvalidArgumentError(
        absl::StrCat("Split of ", Describe(), " into '", name, "': color ",
                     color, "; it must be -1 (no group) or not negative"));
  }
  struct Choice {
    int32_t color, key;
  };
  const Choice mine = {color, key};
  std::vector<Choice> choices(size());
  // It also shows that every rank has arrived, so that no rank waits for long
  // in what follows.
  RETURN_IF_ERROR(AllGather(&mine, sizeof(mine), choices.data()));
  const uint64_t sequence = next_sequence_++;
  NewGroup group = {color, {}, name};
  for (int r = 0; r < size(); ++r) {
    if (choices[r].color == color) group.ranks.push_back(r);
  }
  std::stable_sort(group.ranks.begin(), group.ranks.end(), [&](int a, int b) {
    return choices[a].key < choices[b].key;
  });
  return MakeGroup(color < 0 ? nullptr : &group, sequence);
}

}  // namespace moe

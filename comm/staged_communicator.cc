#include "comm/staged_communicator.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "comm/kept_memory.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr size_t kAlignment = 64;

size_t NumBytes(const TensorView& view) {
  return static_cast<size_t>(view.num_elements()) * SizeOf(view.dtype);
}

size_t Aligned(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

size_t StagedBytes(absl::Span<const TensorMessage> messages) {
  size_t bytes = 0;
  for (const TensorMessage& message : messages) {
    bytes += Aligned(NumBytes(message.data));
  }
  return bytes;
}

// The place of a message at `offset` of the pinned bytes, which moves on.
TensorView NextPlace(const Tensor& pinned, const TensorView& data,
                     size_t& offset) {
  const TensorView place =
      MakeView(pinned.ptr<uint8_t>() + offset, data.dtype,
               absl::MakeConstSpan(data.dims).first(data.rank));
  offset += Aligned(NumBytes(data));
  return place;
}

}  // namespace

// Copies what has come to where it belongs.
class StagedCommunicator::StagedExchange : public PendingOperation {
 public:
  StagedExchange(StagedCommunicator* group, Staging sent, Staging received,
                 absl::Span<const TensorMessage> receives, Stream& stream,
                 std::unique_ptr<PendingOperation> exchange)
      : group_(group),
        stream_(stream),
        sent_(std::move(sent)),
        received_(std::move(received)),
        receives_(receives.begin(), receives.end()),
        exchange_(std::move(exchange)) {}

  ~StagedExchange() override { Wait().IgnoreError(); }

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
  void End(const absl::Status& exchanged) {
    exchange_.reset();
    result_ = exchanged.ok() ? CopyReceived() : exchanged;
    group_->GiveBack(std::move(sent_), result_);
    group_->GiveBack(std::move(received_), result_);
  }

  absl::Status CopyReceived() {
    size_t offset = 0;
    for (const TensorMessage& receive : receives_) {
      if (NumBytes(receive.data) == 0) continue;
      const TensorView place = NextPlace(received_.bytes, receive.data, offset);
      RETURN_IF_ERROR(stream_.Copy(place, receive.data));
    }
    ASSIGN_OR_RETURN(received_.copied, stream_.Record());
    return absl::OkStatus();
  }

  StagedCommunicator* const group_;
  Stream& stream_;
  Staging sent_;
  Staging received_;
  const std::vector<TensorMessage> receives_;
  std::unique_ptr<PendingOperation> exchange_;  // null once done
  absl::Status result_;
};

absl::Status StagedCommunicator::Check(const TensorView& data,
                                       const char* operation) const {
  if (NumBytes(data) == 0 ||
      (data.device == backend_.device() && data.is_contiguous())) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      operation, " in ", Describe(), ": a tensor ", data.ShapeString(), " on ",
      ToString(data.device), "; it must be contiguous and on ",
      ToString(backend_.device())));
}

absl::StatusOr<StagedCommunicator::Staging> StagedCommunicator::Take(
    size_t bytes) {
  if (bytes == 0) return Staging();
  Staging staging;
  // The one that was given back first is the likeliest to be free.
  if (!unused_.empty()) {
    staging = std::move(unused_.front());
    unused_.pop_front();
    if (staging.copied != nullptr) RETURN_IF_ERROR(staging.copied->Wait());
    staging.copied.reset();
  }
  if (staging.bytes.view().empty() || staging.bytes.num_bytes() < bytes) {
    staging.bytes = Tensor();
    ASSIGN_OR_RETURN(
        staging.bytes,
        Tensor::AllocatePinned(backend_, DType::kU8,
                               {static_cast<int64_t>(bytes + bytes / 2)}));
  }
  return staging;
}

void StagedCommunicator::GiveBack(Staging staging, const absl::Status& status) {
  if (staging.bytes.view().empty()) return;
  if (status.ok()) {
    unused_.push_back(std::move(staging));
  } else {
    KeepUntilExit(std::make_shared<Tensor>(std::move(staging.bytes)));
  }
}

absl::Status StagedCommunicator::AllReduce(const TensorView& data,
                                           Stream& stream) {
  RETURN_IF_ERROR(Check(data, "AllReduce"));
  const auto count = static_cast<size_t>(data.num_elements());
  if (data.dtype != DType::kF32) {
    return absl::InvalidArgumentError(
        absl::StrCat("AllReduce in ", Describe(), ": a tensor ",
                     data.ShapeString(), "; it must be f32"));
  }
  if (on_host()) {
    RETURN_IF_ERROR(stream.Synchronize());
    return host_->AllReduce(absl::MakeSpan(data.ptr<float>(), count));
  }
  RETURN_IF_ERROR(host_->status());
  if (size() == 1 || count == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(Staging staging, Take(NumBytes(data)));
  size_t offset = 0;
  const TensorView pinned = NextPlace(staging.bytes, data, offset);
  const auto reduce = [&]() -> absl::Status {
    RETURN_IF_ERROR(stream.Copy(data, pinned));
    ASSIGN_OR_RETURN(const std::unique_ptr<Event> fetched, stream.Record());
    RETURN_IF_ERROR(fetched->Wait());
    RETURN_IF_ERROR(
        host_->AllReduce(absl::MakeSpan(pinned.ptr<float>(), count)));
    RETURN_IF_ERROR(stream.Copy(pinned, data));
    ASSIGN_OR_RETURN(staging.copied, stream.Record());
    return absl::OkStatus();
  };
  const absl::Status status = reduce();
  GiveBack(std::move(staging), status);
  return status;
}

absl::StatusOr<std::unique_ptr<PendingOperation>>
StagedCommunicator::BeginExchange(absl::Span<const TensorMessage> sends,
                                  absl::Span<const TensorMessage> receives,
                                  const char* operation, Stream& stream) {
  for (const absl::Span<const TensorMessage> messages : {sends, receives}) {
    for (const TensorMessage& message : messages) {
      RETURN_IF_ERROR(Check(message.data, operation));
    }
  }
  if (on_host()) {
    // What is sent must be there, and nobody may still use what is received
    // into.
    RETURN_IF_ERROR(stream.Synchronize());
    std::vector<SendBuffer> host_sends;
    host_sends.reserve(sends.size());
    for (const auto& [peer, data] : sends) {
      host_sends.push_back({peer, data.data, NumBytes(data)});
    }
    std::vector<ReceiveBuffer> host_receives;
    host_receives.reserve(receives.size());
    for (const auto& [peer, data] : receives) {
      host_receives.push_back({peer, data.data, NumBytes(data)});
    }
    return host_->BeginExchange(host_sends, host_receives, operation);
  }
  RETURN_IF_ERROR(host_->status());
  Staging sent, received;
  auto exchange =
      BeginStaged(sends, receives, operation, stream, sent, received);
  if (!exchange.ok()) {
    GiveBack(std::move(sent), exchange.status());
    GiveBack(std::move(received), exchange.status());
    return exchange.status();
  }
  return std::make_unique<StagedExchange>(this, std::move(sent),
                                          std::move(received), receives, stream,
                                          *std::move(exchange));
}

absl::StatusOr<std::unique_ptr<PendingOperation>>
StagedCommunicator::BeginStaged(absl::Span<const TensorMessage> sends,
                                absl::Span<const TensorMessage> receives,
                                const char* operation, Stream& stream,
                                Staging& sent, Staging& received) {
  ASSIGN_OR_RETURN(sent, Take(StagedBytes(sends)));
  ASSIGN_OR_RETURN(received, Take(StagedBytes(receives)));
  size_t offset = 0;
  std::vector<SendBuffer> host_sends;
  host_sends.reserve(sends.size());
  for (const auto& [peer, data] : sends) {
    const size_t bytes = NumBytes(data);
    if (bytes == 0) {
      host_sends.push_back({peer, nullptr, 0});
      continue;
    }
    const TensorView place = NextPlace(sent.bytes, data, offset);
    RETURN_IF_ERROR(stream.Copy(data, place));
    host_sends.push_back({peer, place.data, bytes});
  }
  // What is sent must be there; what is received into is used by the stream
  // alone, which gets its copies later.
  if (offset > 0) {
    ASSIGN_OR_RETURN(const std::unique_ptr<Event> fetched, stream.Record());
    RETURN_IF_ERROR(fetched->Wait());
  }
  offset = 0;
  std::vector<ReceiveBuffer> host_receives;
  host_receives.reserve(receives.size());
  for (const auto& [peer, data] : receives) {
    const size_t bytes = NumBytes(data);
    void* const place =
        bytes == 0 ? nullptr : NextPlace(received.bytes, data, offset).data;
    host_receives.push_back({peer, place, bytes});
  }
  return host_->BeginExchange(host_sends, host_receives, operation);
}

}  // namespace moe

#pragma once

#include <cstddef>
#include <deque>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "comm/communicator.h"
#include "comm/host_communicator.h"
#include "kernels/core/device.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Tensors of any device over a host communicator: they travel through pinned
// memory, those of the host's own device as they lie. Pinned memory is kept for
// the next operation, which may wait for the copies of the last: a stream must
// outlive the operations of this. The host waits for the copies of what it
// sends.
class StagedCommunicator : public Communicator {
 public:
  // For streams of `backend`, which is borrowed.
  StagedCommunicator(std::unique_ptr<HostCommunicator> host,
                     DeviceBackend& backend)
      : backend_(backend), host_(std::move(host)) {}

  Device device() const override { return backend_.device(); }
  HostCommunicator& host() override { return *host_; }
  const HostCommunicator& host() const override { return *host_; }
  CommunicatorCounters counters() const override { return host_->counters(); }
  bool sums_in_rank_order() const override { return true; }
  absl::Status AllReduce(const TensorView& data, Stream& stream) override;
  absl::StatusOr<std::unique_ptr<PendingOperation>> BeginExchange(
      absl::Span<const TensorMessage> sends,
      absl::Span<const TensorMessage> receives, const char* operation,
      Stream& stream) override;

 private:
  class StagedExchange;

  // Pinned memory (none: nothing is staged), and when copies are done with it
  // (null: now).
  struct Staging {
    Tensor bytes;  // u8
    std::unique_ptr<Event> copied;
  };

  bool on_host() const { return backend_.device() == Device{}; }
  absl::Status Check(const TensorView& data, const char* operation) const;
  absl::StatusOr<Staging> Take(size_t bytes);
  // `status`: of what it was used for. After a failure a transport or a copy
  // may still use it, so nobody else does.
  void GiveBack(Staging staging, const absl::Status& status);
  // `sent` and `received`: the memory that it takes, also if it fails.
  absl::StatusOr<std::unique_ptr<PendingOperation>> BeginStaged(
      absl::Span<const TensorMessage> sends,
      absl::Span<const TensorMessage> receives, const char* operation,
      Stream& stream, Staging& sent, Staging& received);

  DeviceBackend& backend_;
  std::deque<Staging> unused_;
  const std::unique_ptr<HostCommunicator> host_;
};

}  // namespace moe

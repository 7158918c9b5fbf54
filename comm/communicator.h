#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "comm/host_communicator.h"
#include "comm/pending_operation.h"
#include "kernels/core/device.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// One message of an exchange. `peer` is a rank of the group and may be this
// rank itself (then it is a copy). Views are contiguous and on the device;
// those without elements are not sent.
struct TensorMessage {
  int peer = 0;
  TensorView data;  // borrowed until the exchange is over
};

// One group of ranks that exchange tensors of a device: the smallest set of
// operations that every back end can do. Operations composed of them are free
// functions in comm/collectives.
//
// Every rank of the group must call the same operations in the same order with
// shapes that fit each other. An operation works behind all that `stream` has
// been given before, and what the stream is given after it (for an exchange:
// after its handle is done) sees its results; the host does not. Errors are
// those of HostCommunicator, and kInvalidArgument for a tensor that is not
// contiguous or not on the group's device. The stream is one of that device.
//
// Thread-compatible: one thread at a time.
class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  // Where its tensors are.
  virtual Device device() const = 0;

  // The same ranks over host memory: for what the host decides by, as counts,
  // and to abort the group.
  virtual HostCommunicator& host() = 0;
  virtual const HostCommunicator& host() const = 0;

  const std::string& name() const { return host().name(); }
  int rank() const { return host().rank(); }
  int size() const { return host().size(); }
  std::string Describe() const { return host().Describe(); }

  // Of all operations, those of host() included.
  virtual CommunicatorCounters counters() const = 0;

  // Whether AllReduce adds in the order of the ranks 0, 1, ...: then its bits
  // depend on the values alone, and are those of every such back end.
  virtual bool sums_in_rank_order() const = 0;

  // data[i] = sum over the ranks of their data[i]; f32, equal on all ranks.
  virtual absl::Status AllReduce(const TensorView& data, Stream& stream) = 0;

  // Starts all the sends and receives at once; done when Wait() of the handle
  // returns. Several messages between the same two ranks match in the order of
  // the lists. Tensors must not overlap, and must live until the handle is
  // done. Other operations may run meanwhile, in the same order on all ranks.
  // `operation` names it in messages and must be a literal. Communicator and
  // stream must outlive the handle; destroying a handle waits for it.
  virtual absl::StatusOr<std::unique_ptr<PendingOperation>> BeginExchange(
      absl::Span<const TensorMessage> sends,
      absl::Span<const TensorMessage> receives, const char* operation,
      Stream& stream) = 0;

 protected:
  Communicator() = default;
};

}  // namespace moe

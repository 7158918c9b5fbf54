#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "comm/deadline.h"
#include "comm/host_communicator.h"

namespace moe {

// A set of nonblocking MPI messages. Thread-compatible.
class MpiTransfer {
 public:
  MpiTransfer() = default;
  MpiTransfer(const MpiTransfer&) = delete;
  MpiTransfer& operator=(const MpiTransfer&) = delete;
  // Cancels the receives that no message has reached, and waits for the rest
  // for 100 ms at most.
  ~MpiTransfer();

  absl::Status Start(MPI_Comm comm, absl::Span<const SendBuffer> sends,
                     absl::Span<const ReceiveBuffer> receives, int tag);

  // Makes progress; true once all messages are done. kInternal, naming the
  // peer, if a message has another size than expected.
  absl::StatusOr<bool> Test();

  std::vector<int> PendingPeers() const;

 private:
  struct Message {
    int peer;
    bool receive;
    size_t bytes;
  };

  std::vector<MPI_Request> requests_;
  std::vector<Message> messages_;  // of each request
  // Of MPI_Testsome; kept to allocate once.
  std::vector<int> indices_;
  std::vector<MPI_Status> statuses_;
};

// Paces a loop that polls until a deadline: at first it only yields the core,
// and after some milliseconds sleeps 50 us a round, so that ranks that wait
// leave the cores to those that compute.
class PollingWait {
 public:
  explicit PollingWait(const Deadline& deadline) : deadline_(deadline) {}

  // Yields or sleeps; false once the deadline has passed.
  bool Next();

  // Whether this round should also look for rare events, which costs a call.
  bool LookAround() const { return round_ % 16 == 0; }

 private:
  const Deadline deadline_;
  const Deadline sleep_from_{absl::Milliseconds(5)};
  int64_t round_ = 0;
  bool sleep_ = false;
};

}  // namespace moe

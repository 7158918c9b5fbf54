#include "comm/mpi/mpi_transfer.h"

#include <sched.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "comm/mpi/mpi_status.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::Status MpiTransfer::Start(MPI_Comm comm,
                                absl::Span<const SendBuffer> sends,
                                absl::Span<const ReceiveBuffer> receives,
                                int tag) {
  const size_t count = sends.size() + receives.size();
  requests_.reserve(count);
  messages_.reserve(count);
  // Receives first: what arrives then needs no copy through MPI's buffers.
  for (const ReceiveBuffer& receive : receives) {
    MPI_Request request = MPI_REQUEST_NULL;
    RETURN_IF_ERROR(
        MpiToStatus(MPI_Irecv(receive.data, static_cast<int>(receive.bytes),
                              MPI_BYTE, receive.peer, tag, comm, &request),
                    absl::StrCat("MPI_Irecv from rank ", receive.peer)));
    requests_.push_back(request);
    messages_.push_back({receive.peer, true, receive.bytes});
  }
  for (const SendBuffer& send : sends) {
    MPI_Request request = MPI_REQUEST_NULL;
    RETURN_IF_ERROR(
        MpiToStatus(MPI_Isend(send.data, static_cast<int>(send.bytes), MPI_BYTE,
                              send.peer, tag, comm, &request),
                    absl::StrCat("MPI_Isend to rank ", send.peer)));
    requests_.push_back(request);
    messages_.push_back({send.peer, false, send.bytes});
  }
  indices_.resize(count);
  statuses_.resize(count);
  return absl::OkStatus();
}

absl::StatusOr<bool> MpiTransfer::Test() {
  if (requests_.empty()) return true;
  int completed = 0;
  const int code =
      MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(),
                   &completed, indices_.data(), statuses_.data());
  if (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS) {
    return MpiToStatus(code, "MPI_Testsome");
  }
  if (completed == MPI_UNDEFINED) return true;  // none is left
  for (int i = 0; i < completed; ++i) {
    const Message& message = messages_[indices_[i]];
    if (code == MPI_ERR_IN_STATUS) {
      RETURN_IF_ERROR(MpiToStatus(
          statuses_[i].MPI_ERROR,
          absl::StrCat(message.receive ? "receiving " : "sending ",
                       message.bytes, " bytes, peer rank ", message.peer)));
    }
    if (!message.receive) continue;
    int bytes = 0;
    MPI_Get_count(&statuses_[i], MPI_BYTE, &bytes);
    if (static_cast<size_t>(bytes) != message.bytes) {
      return absl::InternalError(absl::StrCat("rank ", message.peer, " sent ",
                                              bytes, " bytes where ",
                                              message.bytes, " were expected"));
    }
  }
  return std::all_of(requests_.begin(), requests_.end(),
                     [](MPI_Request r) { return r == MPI_REQUEST_NULL; });
}

std::vector<int> MpiTransfer::PendingPeers() const {
  std::vector<int> peers;
  for (size_t i = 0; i < requests_.size(); ++i) {
    if (requests_[i] != MPI_REQUEST_NULL) peers.push_back(messages_[i].peer);
  }
  std::sort(peers.begin(), peers.end());
  peers.erase(std::unique(peers.begin(), peers.end()), peers.end());
  return peers;
}

MpiTransfer::~MpiTransfer() {
  bool pending = false;
  for (size_t i = 0; i < requests_.size(); ++i) {
    if (requests_[i] == MPI_REQUEST_NULL) continue;
    pending = true;
    if (messages_[i].receive) MPI_Cancel(&requests_[i]);
  }
  if (!pending) return;
  int done = 0;
  PollingWait wait(Deadline(absl::Milliseconds(100)));
  do {
    MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done,
                MPI_STATUSES_IGNORE);
  } while (!done && wait.Next());
}

bool PollingWait::Next() {
  ++round_;
  if (sleep_) {
    absl::SleepFor(absl::Microseconds(50));
  } else {
    sched_yield();
  }
  if (!sleep_ && round_ % 16 != 0) return true;
  sleep_ = sleep_from_.Passed();
  return !deadline_.Passed();
}

}  // namespace moe

#include "comm/mpi/mpi_communicator.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "comm/mpi/mpi_status.h"
#include "comm/mpi/mpi_transfer.h"
#include "comm/point_to_point_communicator.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr int kAbortTag = 0;
constexpr int kMaxAbortText = 1000;  // bytes; goes as one eager message
// Tags 1.. number the exchanges; MPI promises tags up to 32767.
constexpr uint64_t kNumTags = 32000;

class MpiCommunicator : public PointToPointCommunicator {
 public:
  // Takes ownership of `comm`.
  MpiCommunicator(MPI_Comm comm, std::string name, int rank,
                  std::vector<int> world_ranks,
                  const CommunicatorOptions& options)
      : PointToPointCommunicator(std::move(name), rank, std::move(world_ranks),
                                 options),
        comm_(comm) {}

  ~MpiCommunicator() override {
    // Freeing is collective: with a peer that failed it could hang, and the
    // process is about to end anyway.
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (status().ok() && finalized == 0) MPI_Comm_free(&comm_);
  }

 protected:
  absl::StatusOr<std::unique_ptr<Transfer>> Start(
      absl::Span<const SendBuffer> sends,
      absl::Span<const ReceiveBuffer> receives, uint64_t sequence) override {
    auto transfer = std::make_unique<MpiExchange>(this);
    const int tag = 1 + static_cast<int>(sequence % kNumTags);
    RETURN_IF_ERROR(transfer->messages.Start(comm_, sends, receives, tag));
    return transfer;
  }

  void SendAbort(const std::string& text) override;

  absl::StatusOr<std::unique_ptr<HostCommunicator>> MakeGroup(
      const NewGroup* group, uint64_t sequence) override;

 private:
  struct MpiExchange : Transfer {
    explicit MpiExchange(MpiCommunicator* group) : group(group) {}

    absl::StatusOr<bool> Poll() override {
      ASSIGN_OR_RETURN(const bool done, messages.Test());
      if (done) return true;
      RETURN_IF_ERROR(group->CheckAbort());
      return false;
    }

    absl::StatusOr<bool> WaitUntil(const Deadline& deadline) override;

    std::vector<int> PendingPeers() const override {
      return messages.PendingPeers();
    }

    MpiCommunicator* const group;
    MpiTransfer messages;
  };

  // kAborted if this rank or a peer has aborted the group.
  absl::Status CheckAbort();

  MPI_Comm comm_;
};

absl::StatusOr<bool> MpiCommunicator::MpiExchange::WaitUntil(
    const Deadline& deadline) {
  PollingWait wait(deadline);
  while (true) {
    ASSIGN_OR_RETURN(const bool done, messages.Test());
    if (done) return true;
    if (!wait.Next()) return false;
    if (wait.LookAround()) RETURN_IF_ERROR(group->CheckAbort());
  }
}

absl::Status MpiCommunicator::CheckAbort() {
  RETURN_IF_ERROR(abort_reason());
  int found = 0;
  MPI_Status status;
  RETURN_IF_ERROR(
      MpiToStatus(MPI_Iprobe(MPI_ANY_SOURCE, kAbortTag, comm_, &found, &status),
                  "MPI_Iprobe for an abort"));
  if (!found) return absl::OkStatus();
  std::vector<char> text(kMaxAbortText);
  RETURN_IF_ERROR(
      MpiToStatus(MPI_Recv(text.data(), kMaxAbortText, MPI_CHAR,
                           status.MPI_SOURCE, kAbortTag, comm_, &status),
                  "MPI_Recv of an abort"));
  int length = 0;
  MPI_Get_count(&status, MPI_CHAR, &length);
  return absl::AbortedError(absl::string_view(text.data(), length));
}

void MpiCommunicator::SendAbort(const std::string& text) {
  const int length = std::min<int>(kMaxAbortText, text.size());
  // Left behind if a peer does not take its copy in time.
  auto* const kept = new std::string(text.substr(0, length));
  std::vector<MPI_Request> requests;
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == rank()) continue;
    MPI_Request request = MPI_REQUEST_NULL;
    // A peer that cannot be notified runs into its timeout.
    if (MPI_Isend(kept->data(), length, MPI_CHAR, peer, kAbortTag, comm_,
                  &request) == MPI_SUCCESS) {
      requests.push_back(request);
    }
  }
  PollingWait wait(Deadline(absl::Seconds(1)));
  int done = 0;
  do {
    if (MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done,
                    MPI_STATUSES_IGNORE) != MPI_SUCCESS) {
      return;
    }
  } while (!done && wait.Next());
  if (done) delete kept;
}

absl::StatusOr<std::unique_ptr<HostCommunicator>> MpiCommunicator::MakeGroup(
    const NewGroup* group, uint64_t /*sequence*/) {
  int key = 0;
  if (group != nullptr) {
    key = static_cast<int>(
        std::find(group->ranks.begin(), group->ranks.end(), rank()) -
        group->ranks.begin());
  }
  MPI_Comm comm = MPI_COMM_NULL;
  RETURN_IF_ERROR(MpiToStatus(
      MPI_Comm_split(comm_, group == nullptr ? MPI_UNDEFINED : group->color,
                     key, &comm),
      absl::StrCat("MPI_Comm_split of ", Describe())));
  if (group == nullptr) return nullptr;
  RETURN_IF_ERROR(MpiToStatus(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN),
                              "MPI_Comm_set_errhandler"));
  std::vector<int> new_world_ranks;
  for (int r : group->ranks) new_world_ranks.push_back(world_ranks()[r]);
  return std::make_unique<MpiCommunicator>(
      comm, group->name, key, std::move(new_world_ranks), options());
}

}  // namespace

absl::StatusOr<std::unique_ptr<HostCommunicator>> MakeMpiCommunicator(
    MPI_Comm parent, const std::string& name,
    const CommunicatorOptions& options) {
  MPI_Comm comm = MPI_COMM_NULL;
  RETURN_IF_ERROR(MpiToStatus(MPI_Comm_dup(parent, &comm), "MPI_Comm_dup"));
  RETURN_IF_ERROR(MpiToStatus(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN),
                              "MPI_Comm_set_errhandler"));
  int rank = 0, size = 0;
  RETURN_IF_ERROR(MpiToStatus(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank"));
  RETURN_IF_ERROR(MpiToStatus(MPI_Comm_size(comm, &size), "MPI_Comm_size"));
  std::vector<int> ranks(size);
  std::iota(ranks.begin(), ranks.end(), 0);
  return std::make_unique<MpiCommunicator>(comm, name, rank, std::move(ranks),
                                           options);
}

}  // namespace moe

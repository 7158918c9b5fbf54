#include "comm/mpi/mpi_idle_doorbell.h"

#include <algorithm>
#include <new>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "comm/futex_word.h"
#include "comm/mpi/mpi_status.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr int kRingTag = 1;

class MpiDoorbell : public IdleDoorbell {
 public:
  MpiDoorbell(HostCommunicator& world, const Topology& topology)
      : world_(world), rank_(world.rank()) {
    const int node = topology.node_of(rank_);
    leads_other_node_ =
        node != topology.node_of(0) && topology.ranks_on(node)[0] == rank_;
    if (rank_ == 0) {
      for (int n = 1; n < topology.num_nodes(); ++n) {
        other_leaders_.push_back(topology.ranks_on(n)[0]);
      }
    }
  }

  ~MpiDoorbell() override {
    if (!world_.status().ok()) return;
    if (window_ != MPI_WIN_NULL) MPI_Win_free(&window_);
    if (rings_ != MPI_COMM_NULL) MPI_Comm_free(&rings_);
  }

  // Collective.
  absl::Status Open(MPI_Comm comm, const Topology& topology);

  absl::Status Ring() override;
  absl::Status Wait(absl::Duration timeout) override;

 private:
  // A leader's wait for a message from rank 0; false at the deadline.
  absl::StatusOr<bool> ReceiveRing(const Deadline& deadline);

  HostCommunicator& world_;
  const int rank_;
  bool leads_other_node_ = false;
  std::vector<int> other_leaders_;  // on rank 0
  MPI_Comm rings_ = MPI_COMM_NULL;  // rank 0's messages to the leaders
  MPI_Win window_ = MPI_WIN_NULL;
  FutexWord* word_ = nullptr;  // in window_, one a node
  uint32_t answered_ = 0;      // rings that Wait returned for
};

absl::Status MpiDoorbell::Open(MPI_Comm comm, const Topology& topology) {
  RETURN_IF_ERROR(world_.Barrier());  // bounded, unlike the calls below
  RETURN_IF_ERROR(MpiToStatus(MPI_Comm_dup(comm, &rings_), "MPI_Comm_dup"));
  MPI_Comm shared = MPI_COMM_NULL, node = MPI_COMM_NULL;
  RETURN_IF_ERROR(
      MpiToStatus(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, rank_,
                                      MPI_INFO_NULL, &shared),
                  "MPI_Comm_split_type by shared memory"));
  absl::Status status =
      MpiToStatus(MPI_Comm_split(shared, topology.node_of(rank_), rank_, &node),
                  "MPI_Comm_split by node");
  MPI_Comm_free(&shared);
  RETURN_IF_ERROR(status);
  int node_size = 0;
  MPI_Comm_size(node, &node_size);
  const int expected =
      static_cast<int>(topology.ranks_on(topology.node_of(rank_)).size());
  // All ranks must get the same answer, for what follows is collective.
  const int32_t fits = node_size == expected;
  std::vector<int32_t> all_fit(world_.size());
  status = world_.AllGather(&fits, sizeof(fits), all_fit.data());
  for (int r = 0; status.ok() && r < world_.size(); ++r) {
    if (!all_fit[r]) {
      status = absl::FailedPreconditionError(absl::StrCat(
          "IdleDoorbell: the topology puts rank ", r, " on node ",
          topology.node_of(r), " with ranks that it shares no memory with"));
    }
  }
  if (status.ok()) {
    int node_rank = 0;
    MPI_Comm_rank(node, &node_rank);
    void* memory = nullptr;
    status = MpiToStatus(
        MPI_Win_allocate_shared(node_rank == 0 ? sizeof(FutexWord) : 0, 1,
                                MPI_INFO_NULL, node, &memory, &window_),
        "MPI_Win_allocate_shared");
    if (status.ok()) {
      MPI_Aint bytes = 0;
      int unit = 0;
      status =
          MpiToStatus(MPI_Win_shared_query(window_, 0, &bytes, &unit, &word_),
                      "MPI_Win_shared_query");
    }
    if (status.ok() && node_rank == 0) new (word_) FutexWord();
  }
  MPI_Comm_free(&node);
  RETURN_IF_ERROR(status);
  return world_.Barrier();  // nobody may ring before the word is zero
}

absl::Status MpiDoorbell::Ring() {
  if (rank_ != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("IdleDoorbell: rank ", rank_, " may not ring"));
  }
  for (int leader : other_leaders_) {
    // An empty message needs no buffer and no wait.
    MPI_Request request = MPI_REQUEST_NULL;
    RETURN_IF_ERROR(MpiToStatus(
        MPI_Isend(nullptr, 0, MPI_BYTE, leader, kRingTag, rings_, &request),
        absl::StrCat("ringing rank ", leader)));
    RETURN_IF_ERROR(
        MpiToStatus(MPI_Request_free(&request), "MPI_Request_free"));
  }
  word_->Increment();
  return absl::OkStatus();
}

absl::StatusOr<bool> MpiDoorbell::ReceiveRing(const Deadline& deadline) {
  absl::Duration pause = absl::Microseconds(20);
  while (true) {
    int found = 0;
    RETURN_IF_ERROR(
        MpiToStatus(MPI_Iprobe(0, kRingTag, rings_, &found, MPI_STATUS_IGNORE),
                    "MPI_Iprobe for a ring"));
    if (found) {
      RETURN_IF_ERROR(MpiToStatus(MPI_Recv(nullptr, 0, MPI_BYTE, 0, kRingTag,
                                           rings_, MPI_STATUS_IGNORE),
                                  "MPI_Recv of a ring"));
      return true;
    }
    if (deadline.Passed()) return false;
    absl::SleepFor(std::min(pause, deadline.Left()));
    pause = std::min(pause * 2, absl::Milliseconds(1));
  }
}

absl::Status MpiDoorbell::Wait(absl::Duration timeout) {
  if (rank_ == 0) {
    return absl::FailedPreconditionError(
        "IdleDoorbell: rank 0 rings, it may not wait");
  }
  const Deadline deadline(timeout);
  bool rung = false;
  if (leads_other_node_) {
    ASSIGN_OR_RETURN(rung, ReceiveRing(deadline));
    if (rung) word_->Increment();
  } else {
    rung = word_->WaitWhile(answered_, deadline);
  }
  if (!rung) {
    return absl::DeadlineExceededError(
        absl::StrCat("IdleDoorbell: rank ", rank_, " had no ring in ",
                     absl::FormatDuration(timeout)));
  }
  ++answered_;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<IdleDoorbell>> MakeMpiDoorbell(
    MPI_Comm comm, HostCommunicator& world, const Topology& topology) {
  if (topology.world_size() != world.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("IdleDoorbell: the topology has ", topology.world_size(),
                     " ranks, the world ", world.size()));
  }
  auto doorbell = std::make_unique<MpiDoorbell>(world, topology);
  RETURN_IF_ERROR(doorbell->Open(comm, topology));
  return doorbell;
}

}  // namespace moe

#include "engine/distributed/rank_runtime.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "comm/collectives/all_gather_bytes.h"
#include "comm/control/control_link_setup.h"
#include "comm/mpi_communicator.h"
#include "comm/mpi_idle_doorbell.h"
#include "comm/mpi_runtime.h"
#include "comm/mpi_shared_memory.h"
#include "comm/mpi_topology.h"
#include "comm/thread_communicator.h"
#include "engine/distributed/end_timer.h"
#include "engine/distributed/launched_process.h"
#include "engine/distributed/rank_agreement.h"
#include "engine/runtime/engine_log.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// Somebody who wants to hear of the failure.
struct Listener {
  std::mutex mutex;  // held while it is called
  bool active = true;
  std::function<void(const absl::Status&)> function;

  void Call(const absl::Status& reason) {
    std::lock_guard lock(mutex);
    if (std::exchange(active, false)) function(reason);
  }
};

class ListenerSubscription : public RankRuntime::Subscription {
 public:
  explicit ListenerSubscription(std::shared_ptr<Listener> listener)
      : listener_(std::move(listener)) {}
  ~ListenerSubscription() override {
    std::lock_guard lock(listener_->mutex);
    listener_->active = false;
  }

 private:
  const std::shared_ptr<Listener> listener_;  // shared with the runtime
};

}  // namespace

class RankRuntime::Impl {
 public:
  Impl() : host(HostName()) {}
  ~Impl();

  // The failure is known: tells all who listen, and sees to the end.
  void OnJobFailure(const absl::Status& reason);
  // Ends the process if it is still there kEndWithin after a failure. (Not
  // started by the failure: that may be the want of another thread.)
  void EndAfterFailure();
  absl::Status OpenLink(absl::Duration watchdog);
  RankStatus OwnStatus() const;
  // The progress, if it is new since the last call; else "".
  std::string TakeReport();
  // Without it nobody would end the others, or remove what they leave.
  absl::Status CheckLauncher() const;

  const std::string host;
  const pid_t launcher = getppid();  // mpirun, or its daemon
  bool ends_process = true;
  bool over_mpi = false;
  absl::Duration connect_timeout = absl::Seconds(60);
  std::unique_ptr<EndTimer> starting;  // until Start has returned

  // In the order in which they are made.
  std::unique_ptr<MpiRuntime> mpi;  // null unless over_mpi
  std::unique_ptr<Communicator> world;
  Topology topology = Topology::OneNode(1);
  std::unique_ptr<ControlLink> link;  // null: one rank
  // The same for other threads, as long as it works; null: not yet, no longer.
  std::atomic<ControlLink*> working_link = nullptr;
  std::unique_ptr<IdleDoorbell> doorbell;

  mutable std::mutex mutex;
  absl::Status failure;                              // guarded by mutex
  int exit_status = kExitStartFailed;                // the same; of failure
  std::vector<std::shared_ptr<Listener>> listeners;  // the same
  RankProgress progress;                             // the same
  bool progress_is_new = false;                      // the same
  bool gone = false;                                 // the same
  std::condition_variable changed;                   // failure or gone
  std::thread ending;                                // waits for a failure
};

RankRuntime::Impl::~Impl() {
  // After a failure all that needs the peers is left as it is.
  link.reset();
  working_link = nullptr;
  {
    std::lock_guard lock(mutex);
    gone = true;
    changed.notify_all();
  }
  if (ending.joinable()) ending.join();
  doorbell.reset();
  world.reset();
  if (!failure.ok()) mpi.release();  // NOLINT: its end would wait for peers
}

void RankRuntime::Impl::OnJobFailure(const absl::Status& reason) {
  std::vector<std::shared_ptr<Listener>> to_call;
  const ControlLink* const known = working_link;
  const bool link_started = known != nullptr && known->started();
  {
    std::lock_guard lock(mutex);
    if (!failure.ok()) return;
    failure = reason;
    if (link_started) exit_status = kExitRankFailed;
    to_call.swap(listeners);
    changed.notify_all();
  }
  LogEngineEvent(EngineLogLevel::kError, "rank_failed",
                 {{"reason", std::string(reason.message())}});
  if (over_mpi) UnlinkMpiSharedMemory();
  // None waits for another: to give up groups whose ranks are dead takes MPI
  // seconds, while clients wait for a word.
  std::vector<std::thread> threads;
  for (const auto& listener : to_call) {
    try {
      threads.emplace_back([&listener, &reason] { listener->Call(reason); });
    } catch (const std::system_error&) {  // no more threads: one by one
      listener->Call(reason);
    }
  }
  for (std::thread& thread : threads) thread.join();
  if (world->size() > 1) world->Abort(reason);
}

void RankRuntime::Impl::EndAfterFailure() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] { return gone || !failure.ok(); });
  changed.wait_for(lock, absl::ToChronoNanoseconds(kEndWithin),
                   [this] { return gone; });
  if (!gone) _exit(exit_status);  // something hangs
}

absl::Status RankRuntime::Impl::OpenLink(absl::Duration watchdog) {
  if (ends_process) ending = std::thread([this] { EndAfterFailure(); });
  if (world->size() == 1) return absl::OkStatus();
  ControlLinkOptions options;
  options.host = host;
  options.watchdog = watchdog;
  options.report = [this] { return TakeReport(); };
  if (over_mpi) options.self_check = [this] { return CheckLauncher(); };
  ASSIGN_OR_RETURN(link, OpenControlLink(*world, options, connect_timeout / 2,
                                         [this](const absl::Status& reason) {
                                           OnJobFailure(reason);
                                         }));
  working_link = link.get();
  return absl::OkStatus();
}

RankStatus RankRuntime::Impl::OwnStatus() const {
  RankStatus status;
  status.rank = world->rank();
  status.host = host;
  status.pid = getpid();
  std::lock_guard lock(mutex);
  status.progress = progress;
  return status;
}

absl::Status RankRuntime::Impl::CheckLauncher() const {
  if (getppid() == launcher) return absl::OkStatus();
  return absl::UnavailableError("mpirun, which started it, has ended");
}

std::string RankRuntime::Impl::TakeReport() {
  std::lock_guard lock(mutex);
  return std::exchange(progress_is_new, false) ? progress.Serialize() : "";
}

RankRuntime::RankRuntime(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RankRuntime::~RankRuntime() = default;

absl::StatusOr<std::unique_ptr<RankRuntime>> RankRuntime::Init(
    int* argc, char*** argv, absl::Duration connect_timeout) {
  auto impl = std::make_unique<Impl>();
  if (LaunchedByMpi()) {
    impl->over_mpi = true;
    impl->connect_timeout = connect_timeout;
    impl->starting = std::make_unique<EndTimer>(
        connect_timeout, kExitStartFailed,
        absl::StrCat("the ranks of this job have not found each other within ",
                     absl::FormatDuration(connect_timeout),
                     " (parallel.connect_timeout): is one of the processes "
                     "stopped, or a host out of reach?"));
    ASSIGN_OR_RETURN(impl->mpi, MpiRuntime::Init(argc, argv));
    CommunicatorOptions options;
    // What hangs at the start is the timer's.
    options.timeout = 2 * connect_timeout;
    ASSIGN_OR_RETURN(impl->world, impl->mpi->MakeWorld(options));
  } else {
    impl->world = std::move(MakeThreadCommunicators(1)[0]);
  }
  return std::unique_ptr<RankRuntime>(new RankRuntime(std::move(impl)));
}

absl::StatusOr<std::vector<std::unique_ptr<RankRuntime>>>
RankRuntime::MakeThreads(int size, const Topology& topology,
                         const CommunicatorOptions& options) {
  auto communicators = MakeThreadCommunicators(size, options);
  auto doorbells = MakeThreadDoorbells(size);
  std::vector<std::unique_ptr<RankRuntime>> ranks;
  for (int r = 0; r < size; ++r) {
    auto impl = std::make_unique<Impl>();
    impl->ends_process = false;
    impl->world = std::move(communicators[r]);
    impl->topology = topology;
    impl->doorbell = std::move(doorbells[r]);
    ranks.push_back(
        std::unique_ptr<RankRuntime>(new RankRuntime(std::move(impl))));
  }
  std::vector<absl::Status> statuses(size);
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r) {
    threads.emplace_back(
        [&, r] { statuses[r] = ranks[r]->impl_->OpenLink(absl::Seconds(60)); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
  return ranks;
}

int RankRuntime::rank() const { return impl_->world->rank(); }
int RankRuntime::size() const { return impl_->world->size(); }

absl::Status RankRuntime::Start(const absl::StatusOr<BootstrapInfo>& facts) {
  const absl::Status status = Connect(facts);
  impl_->starting.reset();
  return status;
}

absl::Status RankRuntime::Connect(const absl::StatusOr<BootstrapInfo>& facts) {
  Communicator& world = *impl_->world;
  const StartRecord own = {impl_->host, facts};
  ASSIGN_OR_RETURN(const std::vector<std::string> records,
                   AllGatherBytes(world, own.Serialize()));
  std::vector<StartRecord> ranks;
  for (const std::string& record : records) {
    ASSIGN_OR_RETURN(StartRecord parsed, StartRecord::Parse(record));
    ranks.push_back(std::move(parsed));
  }
  Topology machines = Topology::OneNode(world.size());
  if (impl_->over_mpi) {
    ASSIGN_OR_RETURN(machines, DetectMpiTopology(MPI_COMM_WORLD, world));
  }
  RETURN_IF_ERROR(ValidateBootstrap(ranks, machines));
  impl_->topology = machines;
  if (facts->node_shape.has_value()) {
    ASSIGN_OR_RETURN(impl_->topology, Topology::FromShape(*facts->node_shape));
    if (impl_->topology.world_size() != world.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("parallel.node_shape is ", facts->node_shape->num_nodes,
                       "x", facts->node_shape->ranks_per_node,
                       ", but this job has ", world.size(), " ranks"));
    }
  }
  RETURN_IF_ERROR(impl_->OpenLink(facts->watchdog));
  if (impl_->over_mpi) {
    ASSIGN_OR_RETURN(impl_->doorbell,
                     MakeMpiDoorbell(MPI_COMM_WORLD, world, impl_->topology));
  } else {
    impl_->doorbell = std::move(MakeThreadDoorbells(1)[0]);
  }
  return absl::OkStatus();
}

const Topology& RankRuntime::topology() const { return impl_->topology; }
IdleDoorbell& RankRuntime::doorbell() { return *impl_->doorbell; }

absl::StatusOr<std::unique_ptr<Communicator>> RankRuntime::MakeGroup(
    const std::string& name, const CommunicatorOptions& options) {
  if (!impl_->over_mpi) return impl_->world->Split(0, rank(), name);
  RETURN_IF_ERROR(impl_->world->Barrier());  // bounded, unlike the call below
  return MakeMpiCommunicator(MPI_COMM_WORLD, name, options);
}

std::unique_ptr<RankRuntime::Subscription> RankRuntime::OnFailure(
    std::function<void(const absl::Status&)> function) {
  const auto listener = std::make_shared<Listener>();
  listener->function = std::move(function);
  absl::Status failure;
  {
    std::lock_guard lock(impl_->mutex);
    failure = impl_->failure;
    if (failure.ok()) impl_->listeners.push_back(listener);
  }
  if (!failure.ok()) listener->Call(failure);
  return std::make_unique<ListenerSubscription>(listener);
}

void RankRuntime::Fail(const absl::Status& reason) {
  ControlLink* const link = impl_->link.get();
  if (link == nullptr) {
    return impl_->OnJobFailure(absl::UnavailableError(reason.message()));
  }
  IsAgreed(reason) ? link->FailTogether(reason) : link->Fail(reason);
}

bool RankRuntime::ExitTogether(const absl::Status& reason) {
  ControlLink* const link = impl_->link.get();
  if (link == nullptr || !IsAgreed(reason)) return false;
  // Rank 0 leaves last of all who wait for it.
  if (!link->Leave(kNotifyTimeout).ok()) return false;
  link->AwaitClosed(kNotifyTimeout);
  if (impl_->over_mpi) UnlinkMpiSharedMemory();
  return true;
}

absl::Status RankRuntime::status() const {
  // The link knows first.
  if (impl_->link != nullptr) return impl_->link->status();
  std::lock_guard lock(impl_->mutex);
  return impl_->failure;
}

void RankRuntime::MarkReady() {
  if (impl_->link != nullptr) return impl_->link->MarkReady();
  std::lock_guard lock(impl_->mutex);
  if (impl_->failure.ok()) impl_->exit_status = kExitRankFailed;
}

int RankRuntime::failure_exit_status() const {
  const ControlLink* const link = impl_->link.get();
  if (link) return link->started() ? kExitRankFailed : kExitStartFailed;
  std::lock_guard lock(impl_->mutex);
  return impl_->exit_status;
}

void RankRuntime::WaitForRank0Exit() {
  ControlLink* const link = impl_->link.get();
  if (link != nullptr && link->started()) link->AwaitClosed(kNotifyTimeout);
}

void RankRuntime::ReportProgress(RankProgress progress) {
  std::lock_guard lock(impl_->mutex);
  if (!progress.expert_load.has_value()) {
    progress.expert_load = std::move(impl_->progress.expert_load);
  }
  impl_->progress = std::move(progress);
  impl_->progress_is_new = true;
}

std::vector<RankStatus> RankRuntime::Ranks() const {
  std::vector<RankStatus> ranks = {impl_->OwnStatus()};
  if (impl_->link == nullptr || rank() != 0) return ranks;
  for (const ControlPeer& peer : impl_->link->Peers()) {
    RankStatus status;
    status.rank = peer.identity.rank;
    status.host = peer.identity.host;
    status.pid = peer.identity.pid;
    status.heartbeat_age = peer.silence;
    auto progress = RankProgress::Parse(peer.report);
    if (progress.ok()) status.progress = *std::move(progress);
    if (peer.failed) status.progress.state = RankState::kFailed;
    ranks.push_back(std::move(status));
  }
  return ranks;
}

absl::Status RankRuntime::Finish(absl::Duration timeout) {
  if (impl_->link != nullptr) RETURN_IF_ERROR(impl_->link->Leave(timeout));
  // From here on the end of a peer is no failure, and MPI may wait for it.
  std::optional<EndTimer> parting;
  if (impl_->over_mpi) {
    const absl::Duration longest = timeout + kEndWithin;
    parting.emplace(longest, kExitRankFailed,
                    absl::StrCat("rank ", rank(), " has waited ",
                                 absl::FormatDuration(longest),
                                 " for the others to end MPI"));
  }
  impl_->doorbell.reset();
  impl_->world.reset();
  if (impl_->mpi == nullptr) return absl::OkStatus();
  return impl_->mpi->Finalize(timeout);
}

}  // namespace moe

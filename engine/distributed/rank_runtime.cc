#include "engine/distributed/rank_runtime.h"

#include <atomic>
#include <cstdlib>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "comm/control/interface_addresses.h"
#include "comm/mpi/mpi_world.h"
#include "comm/thread_world.h"
#include "engine/distributed/bootstrap.h"
#include "engine/distributed/control_link_setup.h"
#include "engine/distributed/launched_process.h"
#include "engine/distributed/rank_agreement.h"
#include "engine/runtime/engine_log.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

absl::Status StartTimedOut(absl::Duration connect_timeout) {
  const std::vector<std::string> addresses = InterfaceAddresses();
  return absl::DeadlineExceededError(absl::StrCat(
      "the ranks of this job have not found each other within ",
      absl::FormatDuration(connect_timeout),
      " (parallel.connect_timeout): is one of the processes stopped, or a host "
      "out of reach? This host's addresses are ",
      addresses.empty() ? "none" : absl::StrJoin(addresses, ", "),
      "; if others cannot reach all of them, choose the interface with mpirun "
      "--mca btl_tcp_if_include NAME --mca oob_tcp_if_include NAME"));
}

// MPI may end the process while it starts: reports that, as long as this lives.
class ExitReport {
 public:
  explicit ExitReport(const RankRuntime::StartFailureReport& report) {
    static const bool registered = std::atexit(Report) == 0;
    if (registered) active_ = &report;
  }
  ~ExitReport() { active_ = nullptr; }

 private:
  static void Report() {
    const RankRuntime::StartFailureReport* report = active_.exchange(nullptr);
    if (report == nullptr) return;
    (*report)(absl::InternalError(
        "Open MPI has ended the process while it started; its own message says "
        "why. A launcher has set PMIX_RANK or OMPI_COMM_WORLD_SIZE: is its job "
        "still there?"));
  }

  inline static std::atomic<const RankRuntime::StartFailureReport*> active_ =
      nullptr;
};

}  // namespace

RankRuntime::RankRuntime(std::unique_ptr<World> world,
                         std::unique_ptr<ExitWatchdog> watchdog,
                         absl::Duration connect_timeout)
    : host_(HostName()),
      connect_timeout_(connect_timeout),
      world_(std::move(world)),
      rank_(world_->communicator().rank()),
      size_(world_->communicator().size()),
      exit_policy_(std::move(watchdog)),
      progress_(rank_, host_) {}

RankRuntime::~RankRuntime() {
  // Joins the thread that calls OnJobFailure.
  link_.reset();
  exit_policy_.SetLink(nullptr);
  if (!failure_.status().ok()) world_->Abandon();
}

absl::StatusOr<std::unique_ptr<RankRuntime>> RankRuntime::Init(
    int* argc, char*** argv, absl::Duration connect_timeout,
    const StartFailureReport& on_failure) {
  const StartFailureReport report =
      on_failure ? on_failure : [](const absl::Status& reason) {
        WriteToStderr(std::string(reason.message()))();
      };
  std::unique_ptr<ExitWatchdog> start_watchdog;
  std::unique_ptr<World> world;
  ASSIGN_OR_RETURN(const bool launched, LaunchedByMpi());
  if (launched) {
    start_watchdog = std::make_unique<ExitWatchdog>(
        connect_timeout, ExitPolicy::kExitStartFailed,
        [report, reason = StartTimedOut(connect_timeout)] { report(reason); });
    CommunicatorOptions options;
    // The watchdog bounds the start.
    options.timeout = 2 * connect_timeout;
    const ExitReport exit_report(report);
    ASSIGN_OR_RETURN(world, JoinMpiWorld(argc, argv, options));
  } else {
    world = std::move(MakeThreadWorlds(1, Topology::OneNode(1))[0]);
  }
  // Not make_unique: the constructor is private.
  std::unique_ptr<RankRuntime> runtime(new RankRuntime(
      std::move(world), std::make_unique<ExitWatchdog>(), connect_timeout));
  runtime->start_watchdog_ = std::move(start_watchdog);
  return runtime;
}

absl::StatusOr<std::vector<std::unique_ptr<RankRuntime>>>
RankRuntime::MakeThreads(int size, const Topology& topology,
                         const CommunicatorOptions& options) {
  std::vector<std::unique_ptr<RankRuntime>> ranks;
  for (auto& world : MakeThreadWorlds(size, topology, options)) {
    ranks.push_back(std::unique_ptr<RankRuntime>(
        new RankRuntime(std::move(world), nullptr, absl::Minutes(1))));
  }
  BootstrapInfo info;
  info.watchdog = absl::Minutes(1);
  std::vector<absl::Status> statuses(size);
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r) {
    threads.emplace_back([&, r] { statuses[r] = ranks[r]->Start(info); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
  return ranks;
}

absl::Status RankRuntime::Start(const absl::StatusOr<BootstrapInfo>& info) {
  const absl::Status status = Connect(info);
  start_watchdog_.reset();
  return status;
}

absl::Status RankRuntime::Connect(const absl::StatusOr<BootstrapInfo>& info) {
  ASSIGN_OR_RETURN(topology_, Bootstrap(*world_, host_, info));
  if (size_ > 1) RETURN_IF_ERROR(OpenLink(info->watchdog));
  ASSIGN_OR_RETURN(doorbell_, world_->MakeDoorbell(topology_));
  if (size_ == 1) return absl::OkStatus();
  RankReport report;
  report.host = host_;
  report.status = world_->ReserveSharedFiles();
  return ExchangeReports(world_->communicator(), report).status();
}

absl::Status RankRuntime::OpenLink(absl::Duration watchdog) {
  ControlLinkOptions options;
  options.host = host_;
  options.watchdog = watchdog;
  options.report = [this] { return progress_.TakeReport(); };
  options.self_check = [this] { return world_->CheckLauncher(); };
  ASSIGN_OR_RETURN(
      link_, OpenControlLink(
                 world_->communicator(), options, connect_timeout_ / 2,
                 [this](const absl::Status& reason) { OnJobFailure(reason); }));
  exit_policy_.SetLink(link_.get());
  return absl::OkStatus();
}

void RankRuntime::OnJobFailure(const absl::Status& reason) {
  if (!failure_.Record(reason)) return;
  exit_policy_.OnFailure();
  LogEngineEvent(EngineLogLevel::kError, "rank_failed",
                 {{"reason", std::string(reason.message())}});
  world_->RemoveSharedFiles();
  failure_.CallListeners();
  if (size_ > 1) world_->communicator().Abort(reason);
}

void RankRuntime::Fail(const absl::Status& reason) {
  if (link_ == nullptr) {
    return OnJobFailure(absl::UnavailableError(reason.message()));
  }
  IsAgreed(reason) ? link_->FailTogether(reason) : link_->Fail(reason);
}

absl::Status RankRuntime::status() const {
  // The link receives failures first.
  return link_ != nullptr ? link_->status() : failure_.status();
}

bool RankRuntime::ExitTogether(const absl::Status& reason) {
  if (!IsAgreed(reason) || !exit_policy_.ExitTogether()) return false;
  world_->RemoveSharedFiles();
  return true;
}

std::vector<RankStatus> RankRuntime::Ranks() const {
  if (link_ == nullptr || rank_ != 0) return progress_.Statuses({});
  return progress_.Statuses(link_->Peers());
}

absl::Status RankRuntime::Finish(absl::Duration timeout) {
  if (link_ != nullptr) RETURN_IF_ERROR(link_->Leave(timeout));
  // From here on the end of a peer is no failure, and MPI may wait for one.
  std::optional<ExitWatchdog> exit_watchdog;
  if (exit_policy_.ends_process()) {
    const absl::Duration longest = timeout + ExitPolicy::kExitTimeout;
    exit_watchdog.emplace(
        longest, ExitPolicy::kExitRankFailed,
        WriteToStderr(absl::StrCat("rank ", rank_, " has waited ",
                                   absl::FormatDuration(longest),
                                   " for the others to end MPI")));
  }
  doorbell_.reset();
  return world_->Finalize(timeout);
}

}  // namespace moe

// RankRuntime over MPI, on the ranks of mpirun: a program without GoogleTest's
// main, since the runtime starts MPI itself. Each rank exits with 0 if its role
// (the argument) succeeds.
#include <mpi.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "engine/distributed/rank_runtime.h"

namespace moe {
namespace {

// Returns from main with 1.
bool Expect(bool condition, const char* what, const absl::Status& status = {}) {
  if (!condition) {
    std::fprintf(stderr, "expected: %s; %s\n", what, status.ToString().c_str());
  }
  return condition;
}

bool RunsToItsEnd(RankRuntime& ranks) {
  BootstrapInfo info;
  info.expected_world_size = 3;
  info.expected_nodes = 1;
  const absl::Status started = ranks.Start(info);
  if (!Expect(started.ok(), "a start", started)) return false;
  if (!Expect(ranks.topology().num_nodes() == 1, "one node")) return false;
  {
    const auto group = ranks.MakeGroup("plans");
    if (!Expect(group.ok(), "a group", group.status())) return false;
    for (int i = 0; i < 3; ++i) {
      const absl::Status rung = ranks.rank() == 0
                                    ? ranks.doorbell().Ring()
                                    : ranks.doorbell().Wait(absl::Seconds(20));
      if (!Expect(rung.ok(), "a ring", rung)) return false;
    }
    const absl::Status barrier = (*group)->Barrier();
    if (!Expect(barrier.ok(), "a barrier", barrier)) return false;
  }
  const absl::Status finished = ranks.Finish();
  return Expect(finished.ok(), "an end in order", finished);
}

bool DiffersAtStart(RankRuntime& ranks) {
  BootstrapInfo info;
  info.config_digest = std::to_string(ranks.rank() == 1);
  const absl::Status started = ranks.Start(info);
  return Expect(absl::IsFailedPrecondition(started) &&
                    absl::StrContains(started.message(), "rank 1 (host"),
                "all ranks to hear of the difference", started);
}

bool HearsOfAFailure(RankRuntime& ranks) {
  const absl::Status started = ranks.Start(BootstrapInfo());
  // A rank that is still starting is notified at once when another fails.
  if (absl::StrContains(started.message(), "out of cheese")) return true;
  if (!Expect(started.ok(), "a start", started)) return false;
  std::mutex mutex;
  std::condition_variable changed;
  absl::Status reason;
  const auto subscription = ranks.OnFailure([&](const absl::Status& status) {
    std::lock_guard lock(mutex);
    reason = status;
    changed.notify_all();
  });
  if (ranks.rank() == 2) ranks.Fail(absl::InternalError("out of cheese"));
  std::unique_lock lock(mutex);
  changed.wait_for(lock, std::chrono::seconds(20),
                   [&] { return !reason.ok(); });
  return Expect(absl::StrContains(reason.message(), "rank 2 of 3") &&
                    absl::StrContains(reason.message(), "out of cheese"),
                "to hear of it", reason);
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) {
  const std::string role = argc > 1 ? argv[1] : "";
  auto ranks = moe::RankRuntime::Init(&argc, &argv, absl::Minutes(1));
  if (!moe::Expect(ranks.ok(), "MPI", ranks.status())) return 1;
  if (!moe::Expect((*ranks)->size() == 3, "three ranks")) return 1;
  bool ok = false;
  if (role == "end") ok = moe::RunsToItsEnd(**ranks);
  if (role == "differ") ok = moe::DiffersAtStart(**ranks);
  if (role == "fail") {
    ok = moe::HearsOfAFailure(**ranks);
    // After a failure the runtime does not finalize MPI, which mpirun reports
    // as an error. Here all ranks are alive, so they can finalize it.
    MPI_Finalize();
    _exit(ok ? 0 : 1);
  }
  return ok ? 0 : 1;
}

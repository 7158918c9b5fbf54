#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "comm/host_communicator.h"
#include "comm/idle_doorbell.h"
#include "engine/distributed/step_link.h"
#include "engine/parallel/process_groups.h"
#include "engine/runtime/engine.h"
#include "tests/fakes/fake_model.h"

namespace moe {

// An engine whose ranks are threads of this process, each with a FakeModel.
// Useful for testing the cooperation of ranks without kernels.
class FakeRanks {
 public:
  struct Options {
    int size = 2;
    int tensor_degree = 1;
    EngineOptions engine;
    absl::Duration timeout = absl::Seconds(20);  // of every group
    absl::Duration poll_time = absl::Milliseconds(2);
    absl::Duration idle_timeout = absl::Seconds(20);
    bool always_ring = false;
    int absent_rank = -1;  // joins the groups, but runs no worker
    int64_t num_experts = 0;
    // Hooks of rank r's model; FakeRanks sets `vocab` and `num_experts`.
    std::function<FakeModel::Hooks(int rank)> hooks;
  };

  explicit FakeRanks(const Options& options);
  // Shuts the engine down and joins the ranks.
  ~FakeRanks() { Join(); }

  Engine& engine() { return *engine_; }

  // Shuts the engine down and waits until all ranks have ended.
  void Join();
  // Waits until the worker of rank r > 0 has ended.
  void AwaitEnd(int rank);
  // After Join: the result of Worker::Run on rank r; OK for rank 0.
  const absl::Status& result(int rank) const { return results_[rank]; }
  // After Join: the CPU time of the rank's thread.
  absl::Duration cpu_time(int rank) const { return cpu_times_[rank]; }

 private:
  struct Rank {
    std::unique_ptr<HostCommunicator> plans;
    std::unique_ptr<IdleDoorbell> doorbell;
    std::unique_ptr<ProcessGroups> groups;
    std::unique_ptr<FakeModel> model;
    IndexRange vocab;
  };

  StepLink LinkOf(const Rank& rank) const;
  void Open(int r);  // collective
  void RunWorker(int r);

  const Options options_;
  std::vector<std::unique_ptr<HostCommunicator>> worlds_;
  std::vector<std::shared_ptr<Rank>> ranks_;  // shared with rank 0's engine
  std::vector<absl::Status> results_;
  std::vector<absl::Duration> cpu_times_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<int> ended_;  // guarded by mutex_
  std::unique_ptr<Engine> engine_;
};

}  // namespace moe

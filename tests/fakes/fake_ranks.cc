#include "tests/fakes/fake_ranks.h"

#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "comm/thread_communicator.h"
#include "comm/topology.h"
#include "engine/cache/kv_cache.h"
#include "engine/distributed/driver_executor.h"
#include "engine/distributed/worker.h"
#include "engine/parallel/parallel_layout.h"
#include "engine/parallel/rank_shard.h"
#include "engine/runtime/engine_limits.h"
#include "engine/runtime/threaded_engine.h"
#include "gtest/gtest.h"
#include "tests/support/test_device.h"

namespace moe {
namespace {

absl::Duration ThreadCpuTime() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

}  // namespace

FakeRanks::FakeRanks(const Options& options)
    : options_(options), results_(options.size), cpu_times_(options.size) {
  CommunicatorOptions communicators;
  communicators.timeout = options.timeout;
  worlds_ = MakeThreadCommunicators(options.size, communicators);
  auto plans = MakeThreadCommunicators(options.size, communicators);
  auto doorbells = MakeThreadDoorbells(options.size);
  for (int r = 0; r < options.size; ++r) {
    ranks_.push_back(std::make_shared<Rank>());
    ranks_[r]->plans = std::move(plans[r]);
    ranks_[r]->doorbell = std::move(doorbells[r]);
  }
  for (int r = 1; r < options.size; ++r) {
    threads_.emplace_back([this, r] {
      Open(r);
      if (r != options_.absent_rank) RunWorker(r);
      cpu_times_[r] = ThreadCpuTime();
      const std::lock_guard<std::mutex> lock(mutex_);
      ended_.insert(r);
      changed_.notify_all();
    });
  }
  Open(0);
  Rank& rank = *ranks_[0];
  EngineParts parts;
  parts.ranks = ranks_[0];
  parts.threads = std::make_unique<ThreadPool>(1);
  absl::StatusOr<KvCache> cache =
      KvCache::Create(rank.model->backend(), rank.model->config(),
                      options.engine.num_blocks, options.engine.block_size);
  EXPECT_TRUE(cache.ok()) << cache.status();
  auto executor = DriverExecutor::Create(
      LinkOf(rank), rank.model.get(), *std::move(cache), rank.vocab,
      MaxLogitRows(options.engine) * (options.size / options.tensor_degree));
  EXPECT_TRUE(executor.ok()) << executor.status();
  parts.executor = *std::move(executor);
  parts.model = std::move(rank.model);
  auto engine = CreateEngine(std::move(parts), options.engine);
  EXPECT_TRUE(engine.ok()) << engine.status();
  engine_ = *std::move(engine);
}

StepLink FakeRanks::LinkOf(const Rank& rank) const {
  StepLink link;
  link.plans = rank.plans.get();
  link.doorbell = rank.doorbell.get();
  link.groups = rank.groups.get();
  link.tensor_degree = options_.tensor_degree;
  link.host = absl::StrCat("host", rank.plans->rank());
  link.poll_time = options_.poll_time;
  link.idle_timeout = options_.idle_timeout;
  link.always_ring = options_.always_ring;
  return link;
}

void FakeRanks::Open(int r) {
  Rank& rank = *ranks_[r];
  const auto layout =
      ParallelLayout::Create(options_.size, options_.tensor_degree, {});
  ASSERT_TRUE(layout.ok()) << layout.status();
  auto groups = ProcessGroups::Create(std::move(worlds_[r]),
                                      Topology::OneNode(options_.size), *layout,
                                      TestBackend());
  ASSERT_TRUE(groups.ok()) << groups.status();
  rank.groups = *std::move(groups);
  FakeModel::Hooks hooks;
  if (options_.hooks) hooks = options_.hooks(r);
  hooks.num_experts = options_.num_experts;
  constexpr int64_t kVocabSize = 97;
  ModelConfig config;
  config.vocab_size = kVocabSize;
  rank.vocab = RankShard::VocabRange(config, layout->tensor_rank(r),
                                     options_.tensor_degree);
  hooks.vocab = rank.vocab;
  rank.model = std::make_unique<FakeModel>(kVocabSize, 256, std::move(hooks));
}

void FakeRanks::RunWorker(int r) {
  Rank& rank = *ranks_[r];
  const ModelConfig& config = rank.model->config();
  StepPlanLimits limits;
  limits.data_degree = options_.size / options_.tensor_degree;
  limits.max_rows = options_.engine.max_step_tokens;
  limits.max_positions = config.max_positions;
  limits.vocab_size = config.vocab_size;
  limits.num_blocks = options_.engine.num_blocks;
  limits.block_size = options_.engine.block_size;
  absl::StatusOr<KvCache> cache = KvCache::Create(
      rank.model->backend(), config, limits.num_blocks, limits.block_size);
  ASSERT_TRUE(cache.ok()) << cache.status();
  absl::StatusOr<Worker> worker = Worker::Create(
      LinkOf(rank), limits, ModelRunner(rank.model.get(), &*cache, rank.vocab),
      MaxLogitRows(options_.engine));
  ASSERT_TRUE(worker.ok()) << worker.status();
  results_[r] = worker->Run();
}

void FakeRanks::AwaitEnd(int rank) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return ended_.contains(rank); });
}

void FakeRanks::Join() {
  if (engine_ == nullptr) return;
  engine_.reset();
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace moe

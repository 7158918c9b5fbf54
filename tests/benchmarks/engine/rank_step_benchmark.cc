// Decode steps and a prefill of a model on many ranks, each with one thread,
// against the same model on rank 0 alone with as many threads as there are
// ranks; the two alternate, so that both have the same machine load.
//   mpirun -np 2 rank_step_benchmark --tensor=1 --expert=2
// Weights are pseudo-random; make the model larger than the last-level cache.
// Columns: milliseconds of a step on one rank and on the ranks, and the
// relative rate in percent; for rank 0 the time spent waiting in exchanges of
// rows, the time of exchanges that its residual MLPs hid, and the messages and
// bytes sent, including those of tensor parallelism; and the imbalance of the
// routing: rows that the busiest rank's experts computed over the mean.
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "comm/mpi/mpi_runtime.h"
#include "comm/mpi/mpi_topology.h"
#include "engine/cache/kv_cache.h"
#include "engine/config/parameter_count.h"
#include "engine/models/load_model.h"
#include "engine/parallel/exchange_cost_measurement.h"
#include "engine/parallel/parallel_layout.h"
#include "engine/parallel/process_groups.h"
#include "kernels/core/cpu_stream.h"
#include "kernels/core/status_macros.h"
#include "kernels/core/stream.h"
#include "tests/benchmarks/engine/paper_shape.h"
#include "tests/fakes/random_checkpoint.h"

ABSL_FLAG(int, tensor, 1, "tensor degree");
ABSL_FLAG(int, expert, 0, "expert degree; 0: all ranks");
ABSL_FLAG(int, slice, 1, "slice degree");
ABSL_FLAG(std::string, exchange, "", "kind of exchange; empty: chosen");
ABSL_FLAG(int, experts, 8, "experts of every second layer");
ABSL_FLAG(int, layers, 24, "layers");
ABSL_FLAG(int, hidden, 1024, "hidden size");
ABSL_FLAG(int, vocab, 50304, "vocabulary");
ABSL_FLAG(bool, residual, true, "residual MLPs beside the experts");
ABSL_FLAG(int, context, 128, "tokens that a decoded sequence has already");
ABSL_FLAG(int, steps, 15, "measured steps of each kind");
ABSL_FLAG(int, prefill, 512, "tokens of the prefill; 0: none");
ABSL_FLAG(std::vector<std::string>, batches,
          std::vector<std::string>({"1", "2", "8", "32"}),
          "sequences of a decode step, on all data ranks together");
ABSL_FLAG(bool, baseline, true, "also measure one rank alone");

namespace moe {
namespace {

constexpr int64_t kBlockSize = 16;

ModelConfig Shape() {
  UniformModelConfig config =
      PaperShape(absl::GetFlag(FLAGS_layers), absl::GetFlag(FLAGS_hidden),
                 absl::GetFlag(FLAGS_vocab), absl::GetFlag(FLAGS_experts));
  if (absl::GetFlag(FLAGS_residual)) {
    config.family = "pr_moe";
    config.residual_moe = ResidualMoeKind::kB2;
  }
  return config;
}

// A model with its cache and threads.
class Runner {
 public:
  static absl::StatusOr<std::unique_ptr<Runner>> Make(
      const ModelParallel* parallel, int threads, int64_t max_rows) {
    auto runner = std::unique_ptr<Runner>(new Runner(threads));
    const RandomCheckpoint checkpoint(Shape(), DType::kBf16);
    const ModelConfig& config = checkpoint.config();
    ASSIGN_OR_RETURN(runner->model_,
                     LoadModel(checkpoint,
                               {.weight_dtype = DType::kBf16,
                                .max_rows = max_rows,
                                .parallel = parallel},
                               runner->stream_, [](int64_t, int64_t) {}));
    const RankShard shard =
        parallel != nullptr ? parallel->shard : RankShard::Whole(config);
    runner->vocab_ = shard.Vocab(config).size();
    ASSIGN_OR_RETURN(KvCache cache, KvCache::Create(runner->model_->backend(),
                                                    shard.LocalConfig(config),
                                                    1024, kBlockSize));
    runner->cache_.emplace(std::move(cache));
    return runner;
  }

  absl::Status Step(const Batch& batch) {
    const int64_t rows = static_cast<int64_t>(batch.logit_rows.size());
    logits_.resize(rows * vocab_ + 1);
    return model_->Forward(
        batch, *cache_, MakeView(logits_.data(), DType::kF32, {rows, vocab_}),
        nullptr);
  }
  Model& model() { return *model_; }

 private:
  explicit Runner(int threads) : threads_(threads), stream_(threads_) {}

  ThreadPool threads_;
  CpuStream stream_;
  std::unique_ptr<Model> model_;
  std::optional<KvCache> cache_;
  int64_t vocab_ = 0;
  std::vector<float> logits_;
};

// `count` sequences with `tokens` rows each, at `start`; those of one data
// rank, or, with data_degree 1, of all.
Batch MakeBatch(int64_t step, int count, int64_t tokens, int64_t start,
                int data_rank, int data_degree) {
  Batch batch;
  batch.step_id = step;
  batch.rows_on_data_ranks.assign(data_degree, 0);
  const int64_t blocks = (start + tokens + kBlockSize - 1) / kBlockSize;
  for (int i = 0; i < count; ++i) {
    batch.rows_on_data_ranks[i % data_degree] += static_cast<int32_t>(tokens);
    if (i % data_degree != data_rank) continue;
    SequenceSlice slice;
    slice.sequence_id = i;
    slice.first_row = static_cast<int32_t>(batch.num_rows());
    slice.num_tokens = static_cast<int32_t>(tokens);
    slice.start_position = static_cast<int32_t>(start);
    for (int64_t b = 0; b < blocks; ++b) {
      slice.block_ids.push_back(static_cast<int32_t>(i * blocks + b));
    }
    uint32_t random = static_cast<uint32_t>(step * 1000 + i);
    for (int64_t t = 0; t < tokens; ++t) {
      random = random * 1664525u + 1013904223u;
      batch.token_ids.push_back(static_cast<int32_t>(
          (random >> 8) % static_cast<uint32_t>(absl::GetFlag(FLAGS_vocab))));
      batch.positions.push_back(static_cast<int32_t>(start + t));
    }
    batch.logit_rows.push_back(static_cast<int32_t>(batch.num_rows() - 1));
    batch.sequences.push_back(std::move(slice));
  }
  return batch;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

class Benchmark {
 public:
  Benchmark(ProcessGroups& groups, Runner& ranks, Runner* alone)
      : groups_(groups), ranks_(ranks), alone_(alone) {}

  absl::Status Measure(const std::string& name, int count, int64_t tokens,
                       int64_t start) {
    HostCommunicator& world = groups_.world();
    std::vector<double> together, one;
    ExpertLoad before;
    int64_t messages = 0, bytes = 0;
    const int steps = absl::GetFlag(FLAGS_steps);
    for (int i = -2; i < steps; ++i) {
      if (i == 0) {
        before = ranks_.model().expert_load();
        CountSent(-1, messages, bytes);
      }
      const Batch rank_batch =
          MakeBatch(i + 2, count, tokens, start, groups_.data().rank(),
                    groups_.data().size());
      RETURN_IF_ERROR(world.Barrier());
      double seconds = 0;
      RETURN_IF_ERROR(Time(ranks_, rank_batch, seconds));
      // A step ends when its last rank has its logits.
      std::vector<double> all(world.size());
      RETURN_IF_ERROR(world.AllGather(&seconds, sizeof(seconds), all.data()));
      if (i >= 0) together.push_back(*std::max_element(all.begin(), all.end()));
      if (alone_ != nullptr) {
        const Batch whole = MakeBatch(i + 2, count, tokens, start, 0, 1);
        RETURN_IF_ERROR(Time(*alone_, whole, seconds));
        if (i >= 0) one.push_back(seconds);
      }
      RETURN_IF_ERROR(world.Barrier());
    }
    CountSent(1, messages, bytes);
    const ExpertLoad& after = ranks_.model().expert_load();
    ASSIGN_OR_RETURN(const double uneven, Unevenness(before, after));
    if (world.rank() != 0) return absl::OkStatus();
    const double ranks_ms = Median(together) * 1e3, one_ms = Median(one) * 1e3;
    const auto per_step = [&](absl::Duration d) {
      return absl::ToDoubleMilliseconds(d) / steps;
    };
    std::printf("%-12s %9.2f %9.2f %7.1f%% %9.3f %9.3f %8lld %9.1f %6.2f\n",
                name.c_str(), one_ms, ranks_ms, 100 * one_ms / ranks_ms,
                per_step(after.waited() - before.waited()),
                per_step(after.hidden() - before.hidden()),
                static_cast<long long>(messages / steps), bytes / 1e3 / steps,
                uneven);
    std::fflush(stdout);
    return absl::OkStatus();
  }

 private:
  static absl::Status Time(Runner& runner, const Batch& batch,
                           double& seconds) {
    const auto begin = std::chrono::steady_clock::now();
    RETURN_IF_ERROR(runner.Step(batch));
    seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
            .count();
    return absl::OkStatus();
  }

  // Slots of the busiest rank over the mean, the layers added up.
  absl::StatusOr<double> Unevenness(const ExpertLoad& before,
                                    const ExpertLoad& after) const {
    HostCommunicator& world = groups_.world();
    std::vector<int64_t> slots;
    for (size_t i = 0; i < after.layers.size(); ++i) {
      slots.push_back(after.layers[i].computed_slots -
                      before.layers[i].computed_slots);
    }
    std::vector<int64_t> all(slots.size() * world.size());
    RETURN_IF_ERROR(world.AllGather(
        slots.data(), slots.size() * sizeof(int64_t), all.data()));
    double busiest = 0, total = 0;
    for (size_t i = 0; i < slots.size(); ++i) {
      int64_t most = 0;
      for (size_t at = i; at < all.size(); at += slots.size()) {
        most = std::max(most, all[at]);
        total += static_cast<double>(all[at]);
      }
      busiest += static_cast<double>(most);
    }
    return total == 0 ? 0 : busiest * world.size() / total;
  }

  // Adds what this rank has sent to all groups but the world, times `sign`.
  void CountSent(int sign, int64_t& messages, int64_t& bytes) const {
    for (const HostCommunicator* group : groups_.All()) {
      if (group == &groups_.world()) continue;
      messages += sign * group->counters().messages_sent;
      bytes += sign * group->counters().bytes_sent;
    }
  }

  ProcessGroups& groups_;
  Runner& ranks_;
  Runner* alone_;
};

absl::Status Run(MpiRuntime& mpi) {
  ASSIGN_OR_RETURN(std::unique_ptr<HostCommunicator> world, mpi.MakeWorld());
  ASSIGN_OR_RETURN(const Topology topology,
                   DetectMpiTopology(MPI_COMM_WORLD, *world));
  const ModelConfig config = Shape();
  const int rank = world->rank(), size = world->size();
  const int ep = absl::GetFlag(FLAGS_expert) > 0
                     ? absl::GetFlag(FLAGS_expert)
                     : size / absl::GetFlag(FLAGS_slice);
  std::vector<MoeLayerDegrees> degrees;
  for (int64_t l = 0; l < config.num_layers(); ++l) {
    if (!config.is_moe_layer(l)) continue;
    degrees.push_back(
        {.layer = static_cast<int>(l),
         .num_experts = static_cast<int>(config.num_experts(l)),
         .expert_degree = ep,
         .slice_degree = absl::GetFlag(FLAGS_slice),
         .expert_width = config.layers[l].moe().mlp.ffn_hidden_size});
  }
  ASSIGN_OR_RETURN(
      const ParallelLayout layout,
      ParallelLayout::Create(size, absl::GetFlag(FLAGS_tensor), degrees));
  ModelParallel parallel;
  ASSIGN_OR_RETURN(parallel.exchange.costs,
                   MeasureExchangeCosts(*world, topology));
  if (!absl::GetFlag(FLAGS_exchange).empty()) {
    ASSIGN_OR_RETURN(parallel.exchange.pinned,
                     ParseExchangeKind(absl::GetFlag(FLAGS_exchange)));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<ProcessGroups> groups,
                   ProcessGroups::Create(std::move(world), topology, layout));
  parallel.groups = groups.get();
  ASSIGN_OR_RETURN(parallel.shard, RankShard::Of(config, layout, rank));
  const int64_t max_rows = std::max(512, absl::GetFlag(FLAGS_prefill));
  ASSIGN_OR_RETURN(std::unique_ptr<Runner> ranks,
                   Runner::Make(&parallel, 1, max_rows));
  std::unique_ptr<Runner> alone;
  if (rank == 0 && absl::GetFlag(FLAGS_baseline)) {
    ASSIGN_OR_RETURN(alone, Runner::Make(nullptr, size, max_rows));
  }
  RETURN_IF_ERROR(groups->world().Barrier());
  if (rank == 0) {
    std::printf(
        "%.2f G parameters; %d ranks x 1 thread, tensor %d, expert %d, slice "
        "%d: %.2f GB of weights on rank 0\n%-12s %9s %9s %8s %9s %9s %8s %9s "
        "%6s\n",
        CountParameters(config).total / 1e9, size, absl::GetFlag(FLAGS_tensor),
        ep, absl::GetFlag(FLAGS_slice), ranks->model().weight_bytes() / 1e9,
        "step", "alone ms", "ranks ms", "rate", "wait ms", "hidden ms",
        "messages", "kB sent", "uneven");
  }
  Benchmark benchmark(*groups, *ranks, alone.get());
  const int64_t context = absl::GetFlag(FLAGS_context);
  for (const std::string& text : absl::GetFlag(FLAGS_batches)) {
    int count = 0;
    if (!absl::SimpleAtoi(text, &count) || count < 1) {
      return absl::InvalidArgumentError("--batches has '" + text + "'");
    }
    RETURN_IF_ERROR(benchmark.Measure("batch " + text, count, 1, context - 1));
  }
  const int64_t prefill = absl::GetFlag(FLAGS_prefill);
  if (prefill > 0) {
    // One sequence for each data rank.
    const int sequences = groups->data().size();
    RETURN_IF_ERROR(benchmark.Measure("prefill " + std::to_string(prefill),
                                      sequences, prefill / sequences, 0));
  }
  for (const MoeLayerLoad& load : ranks->model().expert_load().layers) {
    if (rank != 0) break;
    std::printf(
        "layer %d: flat %lld, hierarchical %lld, coordinated %lld, "
        "replicated %lld\n",
        load.layer, static_cast<long long>(load.exchanges[0]),
        static_cast<long long>(load.exchanges[1]),
        static_cast<long long>(load.exchanges[2]),
        static_cast<long long>(load.exchanges[3]));
    break;
  }
  return groups->world().Barrier();
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) {
  auto mpi = moe::MpiRuntime::Init(&argc, &argv);
  absl::ParseCommandLine(argc, argv);
  const absl::Status status = mpi.ok() ? moe::Run(**mpi) : mpi.status();
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  if (mpi.ok()) moe::MpiRuntime::AbortJob(1);
  return 1;
}

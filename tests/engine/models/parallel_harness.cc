#include "tests/engine/models/parallel_harness.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/cache/kv_cache.h"
#include "engine/models/load_model.h"
#include "engine/parallel/parallel_layout.h"
#include "engine/parallel/process_groups.h"
#include "engine/parallel/rank_shard.h"
#include "gtest/gtest.h"
#include "kernels/core/stream.h"
#include "tests/support/ranks.h"
#include "tests/support/test_device.h"

namespace moe {
namespace {

constexpr int64_t kBlockSize = 4;
constexpr int32_t kBlocksPerSequence = 8;

// A sequence's part of a step.
struct Part {
  size_t sequence;
  int64_t begin, end;
};

// Sequence i begins in step i and then advances by 1, 3 or 5 tokens a step, now
// and then not at all: what every rank knows of every step.
std::vector<std::vector<Part>> Schedule(
    const std::vector<std::vector<int32_t>>& sequences) {
  std::vector<int64_t> done(sequences.size(), 0);
  std::vector<std::vector<Part>> steps;
  for (size_t left = sequences.size(); left > 0;) {
    std::vector<Part> step;
    for (size_t i = 0; i < sequences.size(); ++i) {
      const int64_t length = static_cast<int64_t>(sequences[i].size());
      if (steps.size() < i || done[i] == length) continue;
      const int64_t count =
          1 + 2 * static_cast<int64_t>((i + steps.size()) % 3);
      if ((i + 2 * steps.size()) % 5 == 4) continue;
      const int64_t end = std::min(length, done[i] + count);
      step.push_back({i, done[i], end});
      done[i] = end;
      if (end == length) --left;
    }
    steps.push_back(std::move(step));
  }
  return steps;
}

int OwnerOf(size_t sequence, const ParallelRun& run) {
  const int data_degree = run.layout.data_degree();
  return run.owners == Owners::kLast
             ? data_degree - 1
             : static_cast<int>(sequence * 3 % data_degree);
}

ParallelLayout LayoutOf(const ModelConfig& config, const RankLayout& spec) {
  std::vector<MoeLayerDegrees> layers;
  for (int64_t l = 0; l < config.num_layers(); ++l) {
    if (!config.is_moe_layer(l)) continue;
    const size_t i = layers.size();
    layers.push_back(
        {.layer = static_cast<int>(l),
         .num_experts = static_cast<int>(config.num_experts(l)),
         .expert_degree = spec.expert_degrees[i],
         .slice_degree = spec.slice_degrees.empty() ? 1 : spec.slice_degrees[i],
         .expert_width = config.layers[l].moe().mlp.ffn_hidden_size});
  }
  const auto layout = ParallelLayout::Create(spec.world, spec.tensor, layers);
  EXPECT_TRUE(layout.ok()) << layout.status();
  return *layout;
}

// The share of one data rank.
Batch ShareOf(int data_rank, const std::vector<Part>& step, int64_t step_id,
              const std::vector<std::vector<int32_t>>& sequences,
              const ParallelRun& run) {
  Batch batch;
  batch.step_id = step_id;
  batch.rows_on_data_ranks.assign(run.layout.data_degree(), 0);
  for (const Part& part : step) {
    const int owner = OwnerOf(part.sequence, run);
    batch.rows_on_data_ranks[owner] +=
        static_cast<int32_t>(part.end - part.begin);
    if (owner != data_rank) continue;
    SequenceSlice slice;
    slice.sequence_id = static_cast<int64_t>(part.sequence);
    slice.first_row = static_cast<int32_t>(batch.num_rows());
    slice.num_tokens = static_cast<int32_t>(part.end - part.begin);
    slice.start_position = static_cast<int32_t>(part.begin);
    for (int32_t b = 0; b < kBlocksPerSequence; ++b) {
      slice.block_ids.push_back(
          static_cast<int32_t>(part.sequence) * kBlocksPerSequence + b);
    }
    batch.sequences.push_back(std::move(slice));
    for (int64_t p = part.begin; p < part.end; ++p) {
      batch.logit_rows.push_back(static_cast<int32_t>(batch.num_rows()));
      batch.token_ids.push_back(sequences[part.sequence][p]);
      batch.positions.push_back(static_cast<int32_t>(p));
    }
  }
  return batch;
}

}  // namespace

std::string RankLayout::Name() const {
  std::string name = absl::StrCat("w", world, "_t", tensor, "_ep",
                                  absl::StrJoin(expert_degrees, "_"));
  if (!slice_degrees.empty()) {
    absl::StrAppend(&name, "_es", absl::StrJoin(slice_degrees, "_"));
  }
  if (nodes.has_value()) {
    absl::StrAppend(&name, "_n", nodes->num_nodes, "x", nodes->ranks_per_node);
  }
  return name;
}

ParallelResult RunParallel(const Checkpoint& checkpoint,
                           const std::vector<std::vector<int32_t>>& sequences,
                           const ParallelRun& run) {
  const ModelConfig& config = checkpoint.config();
  const RankLayout& spec = run.layout;
  const ParallelLayout layout = LayoutOf(config, spec);
  const auto steps = Schedule(sequences);
  ParallelResult result;
  result.loads.resize(spec.world);
  for (const auto& tokens : sequences) {
    result.logits.emplace_back(tokens.size() * config.vocab_size);
  }
  RunThreadRanks(spec.world, [&](HostCommunicator& world) {
    const int rank = world.rank();
    auto groups = ProcessGroups::Create(*world.Split(0, rank, "world"),
                                        spec.nodes.has_value()
                                            ? *Topology::FromShape(*spec.nodes)
                                            : Topology::OneNode(spec.world),
                                        layout, TestBackend());
    ASSERT_TRUE(groups.ok()) << groups.status();
    ModelParallel parallel;
    const auto shard = RankShard::Of(config, layout, rank);
    ASSERT_TRUE(shard.ok()) << shard.status();
    parallel.shard = *shard;
    parallel.groups = groups->get();
    parallel.exchange.pinned = run.exchange;
    ThreadPool pool(1);
    const auto stream = TestStream()(pool);
    ASSERT_TRUE(stream.ok()) << stream.status();
    auto model = LoadModel(
        checkpoint,
        {.weight_dtype = DType::kF32, .max_rows = 64, .parallel = &parallel},
        **stream, [](int64_t, int64_t) {});
    ASSERT_TRUE(model.ok()) << model.status();
    auto cache = KvCache::Create(
        (*model)->backend(), shard->LocalConfig(config),
        kBlocksPerSequence * static_cast<int64_t>(sequences.size()),
        kBlockSize);
    ASSERT_TRUE(cache.ok()) << cache.status();

    const IndexRange vocab = shard->Vocab(config);
    for (size_t s = 0; s < steps.size(); ++s) {
      if (steps[s].empty()) continue;
      const Batch batch = ShareOf(layout.data_rank(rank), steps[s],
                                  static_cast<int64_t>(s), sequences, run);
      const int64_t rows = batch.num_rows();
      std::vector<float> logits(rows * vocab.size() + 1);
      const absl::Status status = (*model)->Forward(
          batch, *cache,
          MakeView(logits.data(), DType::kF32, {rows, vocab.size()}), nullptr);
      // Peers need not wait for a rank that leaves.
      if (!status.ok()) (*groups)->Abort(status);
      ASSERT_TRUE(status.ok()) << status;
      // Tensor ranks write different columns, data ranks different sequences.
      int64_t row = 0;
      for (const SequenceSlice& slice : batch.sequences) {
        for (int32_t i = 0; i < slice.num_tokens; ++i, ++row) {
          std::copy_n(logits.data() + row * vocab.size(), vocab.size(),
                      result.logits[slice.sequence_id].data() +
                          (slice.start_position + i) * config.vocab_size +
                          vocab.begin);
        }
      }
    }
    result.loads[rank] = (*model)->expert_load();
  });
  return result;
}

std::vector<std::vector<int32_t>> SomeSequences(int64_t vocab) {
  std::vector<std::vector<int32_t>> sequences;
  uint32_t seed = 1;
  for (int64_t length : {9, 1, 15, 6, 11}) {
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < length; ++i) {
      seed = seed * 1664525u + 1013904223u;
      tokens.push_back(static_cast<int32_t>((seed >> 10) % vocab));
    }
    sequences.push_back(std::move(tokens));
  }
  return sequences;
}

}  // namespace moe

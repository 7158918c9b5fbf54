#include "tests/engine/models/model_harness.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <limits>

#include "absl/status/statusor.h"
#include "engine/parallel/process_groups.h"
#include "engine/parallel/rank_shard.h"
#include "tests/support/test_device.h"

namespace moe {
namespace {

void OrDie(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << status << std::endl;
  std::exit(1);
}

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  OrDie(value.status());
  return *std::move(value);
}

}  // namespace

ModelHarness::ModelHarness(const Checkpoint& checkpoint, const Options& options)
    : pool_(options.num_threads),
      stream_(OrDie(TestStream()(pool_))),
      model_(OrDie(LoadModel(checkpoint,
                             {.weight_dtype = options.weight_dtype,
                              .max_rows = options.max_rows,
                              .parallel = options.parallel},
                             *stream_, [](int64_t, int64_t) {}))),
      cache_(OrDie(KvCache::Create(
          model_->backend(),
          options.parallel != nullptr
              ? options.parallel->shard.LocalConfig(checkpoint.config())
              : checkpoint.config(),
          options.num_blocks, options.block_size))) {
  if (options.parallel != nullptr) parallel_ = *options.parallel;
}

std::vector<float> ModelHarness::GatherLogits(const std::vector<float>& logits,
                                              int64_t rows) const {
  const int64_t vocab = config().vocab_size;
  const int degree = parallel_->shard.tensor_degree;
  const int64_t widest = RankShard::VocabRange(config(), 0, degree).size();
  std::vector<float> padded(rows * widest), all(degree * rows * widest);
  std::copy(logits.begin(), logits.end(), padded.begin());
  OrDie(parallel_->groups->tensor().host().AllGather(
      padded.data(), padded.size() * sizeof(float), all.data()));
  std::vector<float> gathered(rows * vocab);
  for (int rank = 0; rank < degree; ++rank) {
    const IndexRange range = RankShard::VocabRange(config(), rank, degree);
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n(all.begin() + rank * rows * widest + r * range.size(),
                  range.size(), gathered.begin() + r * vocab + range.begin);
    }
  }
  return gathered;
}

std::vector<int32_t> ModelHarness::Blocks(int64_t tokens, int32_t first) const {
  std::vector<int32_t> ids((tokens + cache_.block_size() - 1) /
                           cache_.block_size());
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = first + static_cast<int32_t>(i);
  }
  return ids;
}

std::vector<float> ModelHarness::Step(
    const std::vector<Slice>& slices, RoutingTrace* trace,
    const std::vector<int32_t>& rows_on_data_ranks) {
  Batch batch;
  batch.rows_on_data_ranks = rows_on_data_ranks;
  for (const Slice& slice : slices) {
    SequenceSlice sequence;
    sequence.sequence_id = static_cast<int64_t>(batch.sequences.size());
    sequence.first_row = static_cast<int32_t>(batch.num_rows());
    sequence.num_tokens = static_cast<int32_t>(slice.tokens.size());
    sequence.start_position = slice.start_position;
    sequence.block_ids = slice.block_ids;
    batch.sequences.push_back(sequence);
    for (size_t i = 0; i < slice.tokens.size(); ++i) {
      batch.logit_rows.push_back(static_cast<int32_t>(batch.num_rows()));
      batch.token_ids.push_back(slice.tokens[i]);
      batch.positions.push_back(slice.start_position + static_cast<int32_t>(i));
    }
  }
  const int64_t columns = parallel_.has_value()
                              ? parallel_->shard.Vocab(config()).size()
                              : config().vocab_size;
  std::vector<float> logits(batch.num_rows() * columns);
  OrDie(model_->Forward(
      batch, cache_,
      MakeView(logits.data(), DType::kF32, {batch.num_rows(), columns}),
      trace));
  if (!parallel_.has_value()) return logits;
  return GatherLogits(logits, batch.num_rows());
}

std::vector<float> ModelHarness::Prefill(const std::vector<int32_t>& tokens,
                                         int64_t chunk, int32_t first_block,
                                         RoutingTrace* trace) {
  const int64_t length = static_cast<int64_t>(tokens.size());
  std::vector<float> all;
  if (trace != nullptr) {
    trace->expert_ids.assign(config().num_layers(), {});
    trace->weights.assign(config().num_layers(), {});
  }
  for (int64_t begin = 0; begin < length; begin += chunk) {
    const int64_t end = std::min(begin + chunk, length);
    RoutingTrace step;
    const std::vector<float> logits =
        Step({{.tokens = {tokens.begin() + begin, tokens.begin() + end},
               .start_position = static_cast<int32_t>(begin),
               .block_ids = Blocks(end, first_block)}},
             trace != nullptr ? &step : nullptr);
    all.insert(all.end(), logits.begin(), logits.end());
    for (size_t l = 0; l < step.expert_ids.size(); ++l) {
      trace->expert_ids[l].insert(trace->expert_ids[l].end(),
                                  step.expert_ids[l].begin(),
                                  step.expert_ids[l].end());
      trace->weights[l].insert(trace->weights[l].end(), step.weights[l].begin(),
                               step.weights[l].end());
    }
  }
  return all;
}

std::vector<int32_t> ModelHarness::Greedy(const std::vector<int32_t>& prompt,
                                          int64_t count, int64_t chunk,
                                          bool no_repeat) {
  const int64_t vocab = config().vocab_size;
  std::vector<int32_t> sequence = prompt;
  std::vector<float> logits = Prefill(prompt, chunk);
  logits.erase(logits.begin(), logits.end() - vocab);
  while (true) {
    if (no_repeat) {
      for (int32_t token : sequence) {
        logits[token] = -std::numeric_limits<float>::infinity();
      }
    }
    sequence.push_back(static_cast<int32_t>(
        std::max_element(logits.begin(), logits.end()) - logits.begin()));
    const int64_t length = static_cast<int64_t>(sequence.size());
    if (length == static_cast<int64_t>(prompt.size()) + count) break;
    logits = Step({{.tokens = {sequence.back()},
                    .start_position = static_cast<int32_t>(length - 1),
                    .block_ids = Blocks(length, 0)}});
  }
  return {sequence.begin() + prompt.size(), sequence.end()};
}

std::unique_ptr<Checkpoint> OpenOrDie(const std::string& path,
                                      const CheckpointOptions& options) {
  return OrDie(OpenCheckpoint(path, options));
}

float MaxDifference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return std::numeric_limits<float>::infinity();
  float max = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const float difference = std::abs(a[i] - b[i]);
    if (!(difference <= max)) max = difference;  // NaN too
  }
  return max;
}

}  // namespace moe

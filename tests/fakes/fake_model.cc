#include "tests/fakes/fake_model.h"

#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"
#include "tests/fakes/guarded_device.h"

namespace moe {
namespace {

// SplitMix64's finaliser.
uint64_t Mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

uint64_t Extend(uint64_t history, int32_t token, int64_t position) {
  return Mix(history ^ Mix(static_cast<uint64_t>(token) * 1000003 +
                           static_cast<uint64_t>(position)));
}

// In [-4, 4), so that a softmax over them has a shape.
float Logit(uint64_t history, int64_t token) {
  const uint64_t bits = Mix(history + static_cast<uint64_t>(token)) >> 40;
  return static_cast<float>(bits) * 0x1p-21f - 4.0f;
}

// The values have head_dim 2: [token, position].
float* Entry(const KvCache& cache, const SequenceSlice& slice,
             int64_t position) {
  const int64_t block = slice.block_ids[position / cache.block_size()];
  const int64_t offset = position % cache.block_size();
  return cache.values(0).ptr<float>() +
         (block * cache.block_size() + offset) * 2;
}

}  // namespace

FakeModel::FakeModel(int64_t vocab_size, int64_t max_positions)
    : FakeModel(vocab_size, max_positions, Hooks()) {}

FakeModel::FakeModel(int64_t vocab_size, int64_t max_positions, Hooks hooks)
    : hooks_(std::move(hooks)) {
  config_.family = "fake";
  config_.vocab_size = vocab_size;
  config_.padded_vocab_size = vocab_size;
  config_.hidden_size = 2;
  config_.max_positions = max_positions;
  LayerConfig& layer = config_.layers.emplace_back();
  layer.attention = {.num_heads = 1, .num_kv_heads = 1, .head_dim = 2};
  const MlpConfig mlp = {.ffn_hidden_size = 2};
  layer.mlp = mlp;
  if (hooks_.num_experts > 0) {
    layer.mlp = MoeConfig{.num_experts = hooks_.num_experts, .mlp = mlp};
  }
  if (hooks_.vocab.size() == 0) hooks_.vocab = {0, vocab_size};
}

FakeModel::~FakeModel() {
  if (hooks_.on_destroy) hooks_.on_destroy();
}

absl::Status FakeModel::CheckBatch(const Batch& batch,
                                   const KvCache& cache) const {
  if (batch.positions.size() != batch.token_ids.size()) {
    return absl::InternalError("positions and token_ids differ in size");
  }
  int64_t next_row = 0;
  for (const SequenceSlice& slice : batch.sequences) {
    const int64_t end = slice.start_position + slice.num_tokens;
    if (slice.first_row != next_row || slice.num_tokens < 1 ||
        end >
            static_cast<int64_t>(slice.block_ids.size()) * cache.block_size() ||
        end > config_.max_positions) {
      return absl::InternalError(
          absl::StrCat("bad slice of sequence ", slice.sequence_id));
    }
    for (int32_t i = 0; i < slice.num_tokens; ++i) {
      if (batch.positions[next_row + i] != slice.start_position + i) {
        return absl::InternalError("positions are not consecutive");
      }
    }
    next_row += slice.num_tokens;
  }
  if (next_row != batch.num_rows()) {
    return absl::InternalError("slices do not cover the rows");
  }
  return absl::OkStatus();
}

absl::Status FakeModel::Forward(const Batch& batch, KvCache& cache,
                                const TensorView& logits, RoutingTrace* trace) {
  if (hooks_.before_step) RETURN_IF_ERROR(hooks_.before_step(batch));
  RETURN_IF_ERROR(CheckBatch(batch, cache));
  // What follows stands in for ops, which may access the device's memory.
  std::optional<GuardedBackend::Access> access;
  if (auto* const guarded = dynamic_cast<GuardedBackend*>(&backend_)) {
    access.emplace(*guarded);
  }
  // As a real model does: first all keys are written, then read.
  for (const SequenceSlice& slice : batch.sequences) {
    for (int32_t i = 0; i < slice.num_tokens; ++i) {
      const int32_t position = slice.start_position + i;
      float* entry = Entry(cache, slice, position);
      entry[0] = static_cast<float>(batch.token_ids[slice.first_row + i]);
      entry[1] = static_cast<float>(position);
    }
  }
  if (trace != nullptr) {
    trace->expert_ids.assign(1, {});
    for (int32_t token : batch.token_ids) {
      if (hooks_.num_experts == 0) break;
      trace->expert_ids[0].push_back(
          static_cast<int32_t>(token % hooks_.num_experts));
    }
  }
  size_t next_logits = 0;
  for (const SequenceSlice& slice : batch.sequences) {
    uint64_t history = 0;
    const int64_t end = slice.start_position + slice.num_tokens;
    for (int64_t p = 0; p < end; ++p) {
      const float* entry = Entry(cache, slice, p);
      if (entry[1] != static_cast<float>(p)) {
        return absl::InternalError(absl::StrCat(
            "KV cache: sequence ", slice.sequence_id, " finds position ",
            entry[1], " where ", p, " must be"));
      }
      history = Extend(history, static_cast<int32_t>(entry[0]), p);
      const int64_t row = slice.first_row + (p - slice.start_position);
      if (p < slice.start_position || next_logits >= batch.logit_rows.size() ||
          batch.logit_rows[next_logits] != row) {
        continue;
      }
      const IndexRange& vocab = hooks_.vocab;
      float* out = logits.ptr<float>() +
                   static_cast<int64_t>(next_logits) * vocab.size();
      for (int64_t token = vocab.begin; token < vocab.end; ++token) {
        out[token - vocab.begin] =
            hooks_.poisoned_token == batch.token_ids[row] &&
                    token == config_.vocab_size / 2
                ? std::numeric_limits<float>::quiet_NaN()
                : Logit(history, token);
      }
      ++next_logits;
    }
  }
  if (next_logits != batch.logit_rows.size() ||
      logits.dims[0] != static_cast<int64_t>(next_logits)) {
    return absl::InternalError("logit_rows are not ascending rows");
  }
  return absl::OkStatus();
}

std::vector<float> FakeModel::Logits(const std::vector<int32_t>& tokens) const {
  uint64_t history = 0;
  for (size_t p = 0; p < tokens.size(); ++p) {
    history = Extend(history, tokens[p], static_cast<int64_t>(p));
  }
  std::vector<float> logits(config_.vocab_size);
  for (int64_t token = 0; token < config_.vocab_size; ++token) {
    logits[token] = Logit(history, token);
  }
  return logits;
}

}  // namespace moe

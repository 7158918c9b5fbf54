#include "engine/models/step_checks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

template <typename... Parts>
absl::Status Invalid(const Batch& batch, const Parts&... parts) {
  return absl::InvalidArgumentError(
      absl::StrCat("step ", batch.step_id, ": ", parts...));
}

absl::Status CheckSequence(const Batch& batch, const SequenceSlice& sequence,
                           const ModelConfig& config, const KvCache& cache) {
  const int64_t end = int64_t{sequence.start_position} + sequence.num_tokens;
  if (sequence.start_position < 0 || end > config.max_positions) {
    return Invalid(batch, "sequence ", sequence.sequence_id, " has positions ",
                   sequence.start_position, " to ", end,
                   ", the model has max_positions ", config.max_positions);
  }
  for (int32_t i = 0; i < sequence.num_tokens; ++i) {
    const int32_t row = sequence.first_row + i;
    if (batch.positions[row] != sequence.start_position + i) {
      return Invalid(batch, "row ", row, " of sequence ", sequence.sequence_id,
                     " has position ", batch.positions[row], ", must be ",
                     sequence.start_position + i);
    }
  }
  const int64_t needed = (end + cache.block_size() - 1) / cache.block_size();
  if (static_cast<int64_t>(sequence.block_ids.size()) < needed) {
    return Invalid(batch, "sequence ", sequence.sequence_id, " of ", end,
                   " tokens has ", sequence.block_ids.size(), " blocks of ",
                   cache.block_size(), ", needs ", needed);
  }
  for (int64_t b = 0; b < needed; ++b) {
    if (sequence.block_ids[b] < 0 ||
        sequence.block_ids[b] >= cache.num_blocks()) {
      return Invalid(batch, "block ", sequence.block_ids[b], " of sequence ",
                     sequence.sequence_id, " is outside [0, ",
                     cache.num_blocks(), ")");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckDataRanks(const Batch& batch, const StepLimits& limits) {
  const std::vector<int32_t>& all = batch.rows_on_data_ranks;
  if (all.empty()) {
    if (limits.data_degree == 1) return absl::OkStatus();
    return Invalid(batch, "rows_on_data_ranks is empty, must have ",
                   limits.data_degree, " entries");
  }
  if (static_cast<int64_t>(all.size()) != limits.data_degree) {
    return Invalid(batch, "rows_on_data_ranks has ", all.size(),
                   " entries, must have ", limits.data_degree);
  }
  for (size_t r = 0; r < all.size(); ++r) {
    if (all[r] < 0 || all[r] > limits.max_rows) {
      return Invalid(batch, "data rank ", r, " has ", all[r],
                     " rows, must be in [0, ", limits.max_rows, "]");
    }
  }
  if (all[static_cast<size_t>(limits.data_rank)] != batch.num_rows()) {
    return Invalid(batch, batch.num_rows(), " rows, but rows_on_data_ranks[",
                   limits.data_rank, "] is ",
                   all[static_cast<size_t>(limits.data_rank)]);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckStep(const Batch& batch, const ModelConfig& config,
                       const StepLimits& limits, const KvCache& cache,
                       const TensorView& logits) {
  const int64_t rows = batch.num_rows();
  RETURN_IF_ERROR(CheckDataRanks(batch, limits));
  const bool others = std::any_of(batch.rows_on_data_ranks.begin(),
                                  batch.rows_on_data_ranks.end(),
                                  [](int32_t n) { return n > 0; });
  if (rows < (others ? 0 : 1) || rows > limits.max_rows) {
    return Invalid(batch, rows, " rows, must be in [1, ", limits.max_rows, "]");
  }
  if (batch.positions.size() != batch.token_ids.size()) {
    return Invalid(batch, batch.positions.size(), " positions for ", rows,
                   " rows");
  }
  for (int64_t r = 0; r < rows; ++r) {
    if (batch.token_ids[r] < 0 || batch.token_ids[r] >= config.vocab_size) {
      return Invalid(batch, "token id ", batch.token_ids[r], " of row ", r,
                     " is outside [0, ", config.vocab_size, ")");
    }
  }
  int64_t next_row = 0;
  for (const SequenceSlice& sequence : batch.sequences) {
    if (sequence.first_row != next_row || sequence.num_tokens < 1 ||
        next_row + sequence.num_tokens > rows) {
      return Invalid(batch, "sequence ", sequence.sequence_id, " has rows ",
                     sequence.first_row, " + ", sequence.num_tokens,
                     ", must begin at ", next_row, " and end by ", rows);
    }
    next_row += sequence.num_tokens;
    RETURN_IF_ERROR(CheckSequence(batch, sequence, config, cache));
  }
  if (next_row != rows) {
    return Invalid(batch, "the sequences cover ", next_row, " of ", rows,
                   " rows");
  }
  int64_t least = 0;
  for (int32_t row : batch.logit_rows) {
    if (row < least || row >= rows) {
      return Invalid(batch, "logit row ", row, " is outside [", least, ", ",
                     rows, "), or not ascending");
    }
    least = row + 1;
  }
  const int64_t wanted = static_cast<int64_t>(batch.logit_rows.size());
  if (wanted > 0 &&
      (logits.empty() || logits.dtype != DType::kF32 || logits.rank != 2 ||
       logits.dims[0] != wanted || logits.dims[1] != limits.num_logits)) {
    return Invalid(batch, "logits are ",
                   logits.empty() ? "absent" : logits.ShapeString(),
                   ", must be f32 [", wanted, ", ", limits.num_logits, "]");
  }
  return absl::OkStatus();
}

}  // namespace moe

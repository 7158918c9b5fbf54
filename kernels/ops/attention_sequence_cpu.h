#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "kernels/core/tensor.h"

namespace moe::cpu {

// One sequence's query rows and the blocks of its context.
struct AttentionSequence {
  int64_t first_row;
  int64_t num_tokens;
  int64_t start_position;    // of its first query row
  const int32_t* block_ids;  // [at least blocks of its context]
};

// PagedAttention's tables, whose shapes are checked, and what they refer to.
struct AttentionTables {
  TensorView sequence_offsets;  // [sequences + 1] i32
  TensorView context_lengths;   // [sequences] i32
  TensorView block_table;       // [sequences, any] i32
  int64_t rows = 0;             // query rows
  int64_t blocks = 0;           // of the cache
  int64_t block_size = 0;
};

// Sequence `s`. kInvalidArgument naming it and the value that does not fit.
absl::StatusOr<AttentionSequence> ReadSequence(const AttentionTables& tables,
                                               int64_t s);

}  // namespace moe::cpu

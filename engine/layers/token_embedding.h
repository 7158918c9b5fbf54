#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "engine/config/index_range.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Token embedding plus learned positions, if the model has them. Immutable, so
// thread-safe.
class TokenEmbedding {
 public:
  // table [padded_vocab, hidden], position_table [max_positions, hidden] or
  // empty; f32, f16 or bf16. With `part`, the table has the rows of these
  // vocabulary entries only.
  TokenEmbedding(Tensor table, Tensor position_table,
                 std::optional<IndexRange> part)
      : table_(std::move(table)),
        position_table_(std::move(position_table)),
        part_(part) {}

  // token_ids, positions [rows] i32, y [rows, hidden] f32. With a part, rows of
  // other ranks' tokens become zeros, including positions: an all-reduce over
  // the ranks gives the embedding.
  absl::Status Forward(const TensorView& token_ids, const TensorView& positions,
                       const TensorView& y, Stream& stream) const;

 private:
  Tensor table_;
  Tensor position_table_;
  std::optional<IndexRange> part_;
};

}  // namespace moe

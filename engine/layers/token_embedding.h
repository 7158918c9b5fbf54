#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/config/index_range.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Token embedding plus learned positions where the model has them. Immutable,
// so thread-safe.
class TokenEmbedding {
 public:
  // table [padded_vocab, hidden], position_table [max_positions, hidden] or
  // empty; f32, f16 or bf16. With `part`, the table's rows are those of these
  // entries of the vocabulary, and other ranks have the rest.
  TokenEmbedding(Tensor table, Tensor position_table,
                 std::optional<IndexRange> part)
      : table_(std::move(table)),
        position_table_(std::move(position_table)),
        part_(part) {}

  // y [rows, hidden] f32. kInvalidArgument naming an id or position out of
  // range. Of a part, rows of other ranks' tokens become zeros, positions
  // included: the sum over the ranks is the embedding.
  absl::Status Forward(absl::Span<const int32_t> token_ids,
                       absl::Span<const int32_t> positions, const TensorView& y,
                       Stream& stream) const;

 private:
  Tensor table_;
  Tensor position_table_;
  std::optional<IndexRange> part_;
};

}  // namespace moe

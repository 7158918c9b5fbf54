#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Token embedding plus learned positions where the model has them. Immutable,
// so thread-safe.
class TokenEmbedding {
 public:
  // table [padded_vocab, hidden], position_table [max_positions, hidden] or
  // empty; f32, f16 or bf16.
  TokenEmbedding(Tensor table, Tensor position_table)
      : table_(std::move(table)), position_table_(std::move(position_table)) {}

  // y [rows, hidden] f32. kInvalidArgument naming an id or position out of
  // range.
  absl::Status Forward(absl::Span<const int32_t> token_ids,
                       absl::Span<const int32_t> positions, const TensorView& y,
                       Stream& stream) const;

 private:
  Tensor table_;
  Tensor position_table_;
};

}  // namespace moe

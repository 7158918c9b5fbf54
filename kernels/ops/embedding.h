#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// y[r, :] = table[token_ids[r], :] (+ position_table[positions[r], :]).
// kInvalidArgument naming the first id or position out of range.
struct EmbeddingArgs {
  absl::Span<const int32_t> token_ids;  // [rows]
  absl::Span<const int32_t> positions;  // [rows]
  TensorView table;                     // [vocab, hidden] f32, f16 or bf16
  TensorView position_table;            // [positions, hidden], or empty
  TensorView y;                         // [rows, hidden] f32
};
absl::Status Embedding(const EmbeddingArgs& args, Stream& stream);

namespace cpu {
absl::Status Embedding(const EmbeddingArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe

#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// y[r, :] = table[token_ids[r] - first_token, :]
//           (+ position_table[positions[r], :]).
// With `partial`, the table is a slice of the vocabulary and the rows of all
// other tokens become 0: summed over the slices, y is that of the whole table.
// On the CPU a token id (unless `partial`) or position out of range is
// kInvalidArgument naming it; elsewhere the caller has checked them.
struct EmbeddingArgs {
  TensorView token_ids;       // [rows] i32
  TensorView positions;       // [rows] i32; may be empty without the table
  TensorView table;           // [vocab, hidden] f32, f16 or bf16
  TensorView position_table;  // [positions, hidden], or empty
  int32_t first_token = 0;    // the token of the table's first row
  bool partial = false;
  TensorView y;  // [rows, hidden] f32
};
absl::Status Embedding(const EmbeddingArgs& args, Stream& stream);

namespace cpu {
absl::Status Embedding(const EmbeddingArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe

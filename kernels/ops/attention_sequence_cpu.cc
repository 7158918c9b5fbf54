#include "kernels/ops/attention_sequence_cpu.h"

#include "absl/strings/str_cat.h"
#include "kernels/ops/op_checks.h"

namespace moe::cpu {

absl::StatusOr<AttentionSequence> ReadSequence(const AttentionTables& tables,
                                               int64_t s) {
  constexpr char kOp[] = "PagedAttention";
  const int64_t rows = tables.rows, blocks = tables.blocks;
  const int64_t block_size = tables.block_size;
  const int32_t* const offsets = tables.sequence_offsets.ptr<int32_t>() + s;
  const int64_t context = tables.context_lengths.ptr<int32_t>()[s];
  AttentionSequence sequence;
  sequence.first_row = offsets[0];
  sequence.num_tokens = int64_t{offsets[1]} - offsets[0];
  sequence.start_position = context - sequence.num_tokens;
  sequence.block_ids =
      tables.block_table.ptr<int32_t>() + s * RowStride(tables.block_table);
  if (sequence.num_tokens < 0 || sequence.start_position < 0 ||
      sequence.first_row < 0 || offsets[1] > rows) {
    return absl::InvalidArgumentError(
        absl::StrCat(kOp, ": sequence ", s, " has rows ", sequence.first_row,
                     " + ", sequence.num_tokens, " of ", rows,
                     " and starts at position ", sequence.start_position));
  }
  const int64_t needed = (context + block_size - 1) / block_size;
  if (tables.block_table.dims[1] < needed) {
    return absl::InvalidArgumentError(
        absl::StrCat(kOp, ": sequence ", s, " of ", context, " tokens has ",
                     tables.block_table.dims[1], " blocks of ", block_size,
                     ", needs ", needed));
  }
  for (int64_t b = 0; b < needed; ++b) {
    if (sequence.block_ids[b] < 0 || sequence.block_ids[b] >= blocks) {
      return absl::InvalidArgumentError(
          absl::StrCat(kOp, ": block ", sequence.block_ids[b], " of sequence ",
                       s, " is outside [0, ", blocks, ")"));
    }
  }
  return sequence;
}

}  // namespace moe::cpu

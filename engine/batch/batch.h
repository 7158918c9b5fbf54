#pragma once

#include <cstdint>
#include <vector>

namespace moe {

// The tokens of one sequence in a step: `num_tokens` consecutive ones, starting
// at position `start_position` of the sequence.
struct SequenceSlice {
  int64_t sequence_id = 0;
  int32_t first_row = 0;       // of Batch::token_ids
  int32_t num_tokens = 0;      // 1 in decode, more in (chunked) prefill
  int32_t start_position = 0;  // tokens already in the KV cache
  // Report which experts its rows choose.
  bool trace_routing = false;
  // The KV blocks of the whole sequence, including these tokens: the token at
  // position p is in block_ids[p / block_size].
  std::vector<int32_t> block_ids;
};

// The tokens that one data rank computes in one step, concatenated over its
// sequences; a row is a token. Plain data, equal on every rank of its tensor
// group. It may be empty: the rank then still takes part in the exchanges of
// the other data ranks.
struct Batch {
  int64_t step_id = 0;
  std::vector<int32_t> token_ids;  // [rows]
  std::vector<int32_t> positions;  // [rows]
  std::vector<SequenceSlice> sequences;
  // Rows whose logits are requested, ascending.
  std::vector<int32_t> logit_rows;
  // Number of rows of every data rank in this step, equal on all ranks:
  // decisions that all ranks must make alike depend only on this field of a
  // batch. [data_degree]; empty: one rank.
  std::vector<int32_t> rows_on_data_ranks;

  int64_t num_rows() const { return static_cast<int64_t>(token_ids.size()); }
};

}  // namespace moe

#pragma once

#include <cstdint>
#include <vector>

namespace moe {

// One sequence's share of a step: `num_tokens` consecutive tokens, from
// position `start_position` of the sequence on.
struct SequenceSlice {
  int64_t sequence_id = 0;
  int32_t first_row = 0;       // of Batch::token_ids
  int32_t num_tokens = 0;      // 1 in decode, more in (chunked) prefill
  int32_t start_position = 0;  // tokens of it that are in the KV cache already
  // Which experts its rows choose is asked for.
  bool trace_routing = false;
  // The KV blocks of the whole sequence, these tokens' included: token at
  // position p lies in block_ids[p / block_size].
  std::vector<int32_t> block_ids;
};

// What one data rank computes in one step: rows of tokens of many sequences,
// concatenated. Plain data, the same on every rank of its tensor group. It may
// be empty where other data ranks have rows: their exchanges need this one too.
struct Batch {
  int64_t step_id = 0;
  std::vector<int32_t> token_ids;  // [rows]
  std::vector<int32_t> positions;  // [rows]
  std::vector<SequenceSlice> sequences;
  // Rows whose logits are wanted, ascending.
  std::vector<int32_t> logit_rows;
  // Rows of every data rank in this step, equal on all ranks: whatever ranks
  // must agree on depends on nothing else of a batch. [data_degree]; empty: one
  // rank has it all.
  std::vector<int32_t> rows_on_data_ranks;

  int64_t num_rows() const { return static_cast<int64_t>(token_ids.size()); }
};

}  // namespace moe

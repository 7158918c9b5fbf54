#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"

namespace moe {

// Allocates the blocks of a KvCache: a free list, and one block table per
// sequence. A block may be in several tables (Share); it is freed when the last
// table releases it. Shared blocks must not be written: the scheduler shares
// only full blocks of a common prompt, so copy-on-write is not needed. Manages
// block ids, not memory. Not thread-safe.
class BlockManager {
 public:
  // Both >= 1.
  BlockManager(int64_t num_blocks, int64_t block_size);

  int64_t num_blocks() const {
    return static_cast<int64_t>(reference_counts_.size());
  }
  int64_t num_free() const { return static_cast<int64_t>(free_.size()); }
  int64_t block_size() const { return block_size_; }

  // The number of blocks for `num_tokens` tokens.
  int64_t BlocksFor(int64_t num_tokens) const {
    return (num_tokens + block_size_ - 1) / block_size_;
  }

  // Extends the sequence's table to at least `num_tokens` tokens.
  // kResourceExhausted, without a change, if too few blocks are free.
  absl::Status Reserve(int64_t sequence_id, int64_t num_tokens);

  // Starts the table of `to`, which must have none, with the first `num_blocks`
  // blocks of `from`, which must have as many.
  void Share(int64_t from, int64_t to, int64_t num_blocks);

  // Releases all blocks of the sequence, if it has any.
  void Release(int64_t sequence_id);

  // Empty for a sequence that has no blocks. Valid until the next change.
  const std::vector<int32_t>& Table(int64_t sequence_id) const;

  // The number of tables with the block; 0: it is free.
  int32_t reference_count(int32_t block_id) const {
    return reference_counts_[block_id];
  }

 private:
  int64_t block_size_;
  std::vector<int32_t> free_;  // a stack: the last freed block is reused first
  std::vector<int32_t> reference_counts_;  // [num_blocks]
  absl::flat_hash_map<int64_t, std::vector<int32_t>> tables_;
};

}  // namespace moe

#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"

namespace moe {

// Deals out the blocks of a KvCache: a free list and one table of block ids per
// sequence. A block may be in several tables (Share): it is free again when the
// last of them lets go. Whoever shares must never write to the shared blocks;
// the scheduler shares only full blocks of a common prompt, and so nothing is
// ever copied. Knows no memory, only numbers. Not thread-safe.
class BlockManager {
 public:
  // Both >= 1.
  BlockManager(int64_t num_blocks, int64_t block_size);

  int64_t num_blocks() const {
    return static_cast<int64_t>(reference_counts_.size());
  }
  int64_t num_free() const { return static_cast<int64_t>(free_.size()); }
  int64_t block_size() const { return block_size_; }

  // Blocks that hold `num_tokens` tokens.
  int64_t BlocksFor(int64_t num_tokens) const {
    return (num_tokens + block_size_ - 1) / block_size_;
  }

  // Makes the sequence's table hold at least `num_tokens` tokens.
  // kResourceExhausted, with nothing changed, if too few blocks are free.
  absl::Status Reserve(int64_t sequence_id, int64_t num_tokens);

  // Starts the table of `to`, which must have none, with the first `num_blocks`
  // blocks of `from`, which must have as many.
  void Share(int64_t from, int64_t to, int64_t num_blocks);

  // Lets go of all the sequence's blocks; none is fine.
  void Release(int64_t sequence_id);

  // Empty for a sequence that has no blocks. Valid until the next change.
  const std::vector<int32_t>& Table(int64_t sequence_id) const;

  // How many tables hold the block; 0: it is free.
  int32_t reference_count(int32_t block_id) const {
    return reference_counts_[block_id];
  }

 private:
  int64_t block_size_;
  std::vector<int32_t> free_;              // a stack: the warmest block first
  std::vector<int32_t> reference_counts_;  // [num_blocks]
  absl::flat_hash_map<int64_t, std::vector<int32_t>> tables_;
};

}  // namespace moe

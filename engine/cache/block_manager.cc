#include "engine/cache/block_manager.h"

#include <cassert>

#include "absl/strings/str_cat.h"

namespace moe {

BlockManager::BlockManager(int64_t num_blocks, int64_t block_size)
    : block_size_(block_size), reference_counts_(num_blocks, 0) {
  assert(num_blocks >= 1 && block_size >= 1);
  free_.reserve(num_blocks);
  // Block 0 is on top of the stack.
  for (int64_t i = num_blocks - 1; i >= 0; --i) {
    free_.push_back(static_cast<int32_t>(i));
  }
}

absl::Status BlockManager::Reserve(int64_t sequence_id, int64_t num_tokens) {
  const int64_t held = static_cast<int64_t>(Table(sequence_id).size());
  const int64_t missing = BlocksFor(num_tokens) - held;
  if (missing <= 0) return absl::OkStatus();
  if (missing > num_free()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("KV cache: sequence ", sequence_id, " needs ", missing,
                     " more blocks for ", num_tokens, " tokens; ", num_free(),
                     " of ", num_blocks(), " are free"));
  }
  std::vector<int32_t>& table = tables_[sequence_id];
  for (int64_t i = 0; i < missing; ++i) {
    const int32_t block = free_.back();
    free_.pop_back();
    reference_counts_[block] = 1;
    table.push_back(block);
  }
  return absl::OkStatus();
}

void BlockManager::Share(int64_t from, int64_t to, int64_t num_blocks) {
  assert(Table(to).empty());
  assert(static_cast<int64_t>(Table(from).size()) >= num_blocks);
  if (num_blocks == 0) return;
  const std::vector<int32_t>& source = Table(from);
  std::vector<int32_t> table(source.begin(), source.begin() + num_blocks);
  for (int32_t block : table) ++reference_counts_[block];
  tables_[to] = std::move(table);
}

void BlockManager::Release(int64_t sequence_id) {
  auto it = tables_.find(sequence_id);
  if (it == tables_.end()) return;
  for (int32_t block : it->second) {
    if (--reference_counts_[block] == 0) free_.push_back(block);
  }
  tables_.erase(it);
}

const std::vector<int32_t>& BlockManager::Table(int64_t sequence_id) const {
  static const auto& kNone = *new std::vector<int32_t>();
  auto it = tables_.find(sequence_id);
  return it == tables_.end() ? kNone : it->second;
}

}  // namespace moe

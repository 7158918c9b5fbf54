#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/checkpoint/torch/pickle_value.h"

namespace moe {

// The memory of a pickle machine: a stack with marks, and a memo of values by
// number. Values below the last mark are not accessible. Borrows values. A
// function that fails returns false and changes nothing.
class PickleStack {
 public:
  void Push(PickleValue* value) { values_.push_back(value); }
  bool Pop(PickleValue** value);
  bool Top(PickleValue** value) const;
  // The last `count` values, in the order in which they were pushed.
  bool PopLast(size_t count, std::vector<const PickleValue*>* values);

  void Mark() { marks_.push_back(values_.size()); }
  // Removes the mark and returns true if it is at the top.
  bool PopBareMark();
  // All values above the last mark, and the mark; appends to `values`.
  bool PopToMark(std::vector<const PickleValue*>* values);

  // Memoizes the topmost value as number `index`.
  bool Memorize(uint32_t index);
  bool Recall(uint32_t index, PickleValue** value) const;
  size_t num_memorized() const { return memo_.size(); }

  // The largest of the numbers of values, marks and memorized values.
  size_t size() const;

 private:
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  std::vector<PickleValue*> values_;
  std::vector<size_t> marks_;  // sizes of the stack when they were set
  absl::flat_hash_map<uint32_t, PickleValue*> memo_;
};

}  // namespace moe

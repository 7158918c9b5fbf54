#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/checkpoint/torch/pickle_value.h"

namespace moe {

// The memory of a pickle machine: a stack that marks divide, and values kept
// under numbers. Nothing below the last mark can be reached. Values are
// borrowed. Every function that can fail returns false and changes nothing.
class PickleStack {
 public:
  void Push(PickleValue* value) { values_.push_back(value); }
  bool Pop(PickleValue** value);
  bool Top(PickleValue** value) const;
  // The last `count` values, in the order in which they were pushed.
  bool PopLast(size_t count, std::vector<const PickleValue*>* values);

  void Mark() { marks_.push_back(values_.size()); }
  // Whether the mark is the topmost thing; takes it off then.
  bool PopBareMark();
  // All values above the last mark, and the mark; appends to `values`.
  bool PopToMark(std::vector<const PickleValue*>* values);

  // Keeps the topmost value as number `index`.
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

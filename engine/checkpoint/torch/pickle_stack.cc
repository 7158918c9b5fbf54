#include "engine/checkpoint/torch/pickle_stack.h"

#include <algorithm>

namespace moe {

bool PickleStack::Pop(PickleValue** value) {
  if (!Top(value)) return false;
  values_.pop_back();
  return true;
}

bool PickleStack::Top(PickleValue** value) const {
  if (values_.size() <= floor()) return false;
  *value = values_.back();
  return true;
}

bool PickleStack::PopLast(size_t count,
                          std::vector<const PickleValue*>* values) {
  if (values_.size() - floor() < count) return false;
  values->assign(values_.end() - static_cast<ptrdiff_t>(count), values_.end());
  values_.resize(values_.size() - count);
  return true;
}

bool PickleStack::PopBareMark() {
  if (marks_.empty() || marks_.back() != values_.size()) return false;
  marks_.pop_back();
  return true;
}

bool PickleStack::PopToMark(std::vector<const PickleValue*>* values) {
  if (marks_.empty()) return false;
  const size_t begin = marks_.back();
  marks_.pop_back();
  values->insert(values->end(), values_.begin() + static_cast<ptrdiff_t>(begin),
                 values_.end());
  values_.resize(begin);
  return true;
}

bool PickleStack::Memorize(uint32_t index) {
  PickleValue* top;
  if (!Top(&top)) return false;
  memo_[index] = top;
  return true;
}

bool PickleStack::Recall(uint32_t index, PickleValue** value) const {
  const auto found = memo_.find(index);
  if (found == memo_.end()) return false;
  *value = found->second;
  return true;
}

size_t PickleStack::size() const {
  return std::max({values_.size(), marks_.size(), memo_.size()});
}

}  // namespace moe

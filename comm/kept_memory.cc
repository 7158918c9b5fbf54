#include "comm/kept_memory.h"

#include <mutex>
#include <utility>
#include <vector>

namespace moe {

void KeepUntilExit(std::shared_ptr<const void> memory) {
  // Never destroyed, as what it holds.
  static auto& mutex = *new std::mutex();
  static auto& kept = *new std::vector<std::shared_ptr<const void>>();
  const std::lock_guard<std::mutex> lock(mutex);
  kept.push_back(std::move(memory));
}

}  // namespace moe

#include "engine/distributed/rank_progress.h"

#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// The head of the bytes; isa and the words of the expert load follow.
struct Head {
  int64_t last_step;
  int64_t exchange_wait_ns;
  int64_t last_step_wait_ns;
  int64_t weight_bytes;
  int64_t kv_cache_bytes;
  int32_t num_threads;
  int32_t state;
  uint32_t isa_bytes;
  uint32_t has_expert_load;
};

}  // namespace

std::string RankProgress::Serialize() const {
  Head head = {};
  head.last_step = last_step;
  head.exchange_wait_ns = absl::ToInt64Nanoseconds(exchange_wait);
  head.last_step_wait_ns = absl::ToInt64Nanoseconds(last_step_wait);
  head.weight_bytes = weight_bytes;
  head.kv_cache_bytes = kv_cache_bytes;
  head.num_threads = num_threads;
  head.state = static_cast<int32_t>(state);
  head.isa_bytes = static_cast<uint32_t>(isa.size());
  head.has_expert_load = expert_load.has_value();
  std::string bytes(reinterpret_cast<const char*>(&head), sizeof(head));
  bytes += isa;
  if (expert_load.has_value()) {
    const std::vector<int64_t> words = expert_load->ToWords();
    bytes.append(reinterpret_cast<const char*>(words.data()),
                 words.size() * sizeof(int64_t));
  }
  return bytes;
}

absl::StatusOr<RankProgress> RankProgress::Parse(absl::string_view bytes) {
  Head head;
  if (bytes.size() < sizeof(head)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a rank's report of ", bytes.size(), " bytes"));
  }
  std::memcpy(&head, bytes.data(), sizeof(head));
  bytes.remove_prefix(sizeof(head));
  if (head.isa_bytes > bytes.size() || head.state < 0 ||
      head.state > static_cast<int32_t>(RankState::kFailed) ||
      (bytes.size() - head.isa_bytes) % sizeof(int64_t) != 0) {
    return absl::InvalidArgumentError("a rank's report is damaged");
  }
  RankProgress progress;
  progress.state = static_cast<RankState>(head.state);
  progress.last_step = head.last_step;
  progress.exchange_wait = absl::Nanoseconds(head.exchange_wait_ns);
  progress.last_step_wait = absl::Nanoseconds(head.last_step_wait_ns);
  progress.weight_bytes = head.weight_bytes;
  progress.kv_cache_bytes = head.kv_cache_bytes;
  progress.num_threads = head.num_threads;
  progress.isa = std::string(bytes.substr(0, head.isa_bytes));
  bytes.remove_prefix(head.isa_bytes);
  if (head.has_expert_load != 0) {
    std::vector<int64_t> words(bytes.size() / sizeof(int64_t));
    if (!words.empty()) std::memcpy(words.data(), bytes.data(), bytes.size());
    ASSIGN_OR_RETURN(progress.expert_load, ExpertLoad::FromWords(words));
  }
  return progress;
}

}  // namespace moe

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/moe/expert_load.h"

namespace moe {

enum class RankState : int32_t {
  kStarting = 0,
  kLoading = 1,
  kIdle = 2,
  kInStep = 3,
  kFailed = 4,
};

// What a rank reports about itself. A value.
struct RankProgress {
  RankState state = RankState::kStarting;
  int64_t last_step = -1;         // id of the last finished step; -1: none
  absl::Duration exchange_wait;   // spent waiting for peers, since the start
  absl::Duration last_step_wait;  // the same, in the last step
  int64_t weight_bytes = 0;       // of this rank
  int64_t kv_cache_bytes = 0;     // of this rank
  int32_t num_threads = 0;        // compute threads
  std::string isa;                // "AVX2", ...
  std::optional<ExpertLoad> expert_load;  // unset: unchanged

  // For messages between ranks of one program.
  std::string Serialize() const;
  // kInvalidArgument for anything that Serialize does not make.
  static absl::StatusOr<RankProgress> Parse(absl::string_view bytes);
};

}  // namespace moe

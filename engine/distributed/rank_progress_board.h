#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "comm/control/control_link.h"
#include "engine/distributed/rank_progress.h"

namespace moe {

// What is known of a rank.
struct RankStatus {
  int rank = 0;
  std::string host;
  int64_t pid = 0;
  RankProgress progress;
  absl::Duration heartbeat_age;  // since it was last heard of; 0 for the caller
};

// What the ranks do, as one of them sees it: itself, and the heartbeats of the
// others. Thread-safe.
class RankProgressBoard {
 public:
  RankProgressBoard(int rank, std::string host);

  // What this rank does. Without an expert load, the load stays as reported
  // before. Cheap enough for every step.
  void Report(RankProgress progress);

  // The report that the next heartbeat carries to rank 0; "" if nothing was
  // reported since the last call.
  std::string TakeReport();

  // This rank first, then `peers` (ControlLink::Peers), in their order.
  std::vector<RankStatus> Statuses(absl::Span<const ControlPeer> peers) const;

 private:
  const int rank_;
  const std::string host_;
  mutable std::mutex mutex_;
  RankProgress progress_;  // guarded by mutex_
  bool is_new_ = false;    // guarded by mutex_
};

}  // namespace moe

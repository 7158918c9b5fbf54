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

// The last report of a rank, with its identity.
struct RankStatus {
  int rank = 0;
  std::string host;
  int64_t pid = 0;
  RankProgress progress;
  absl::Duration heartbeat_age;  // 0 for the caller's rank
};

// The progress of all ranks as seen by one of them: its own, and the reports in
// the heartbeats of the others. Thread-safe.
class RankProgressBoard {
 public:
  RankProgressBoard(int rank, std::string host);

  // Sets this rank's progress. Without an expert load it keeps the last one.
  // Cheap enough for every step.
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

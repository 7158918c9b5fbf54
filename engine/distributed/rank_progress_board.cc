#include "engine/distributed/rank_progress_board.h"

#include <unistd.h>

#include <utility>

namespace moe {

RankProgressBoard::RankProgressBoard(int rank, std::string host)
    : rank_(rank), host_(std::move(host)) {}

void RankProgressBoard::Report(RankProgress progress) {
  std::lock_guard lock(mutex_);
  if (!progress.expert_load.has_value()) {
    progress.expert_load = std::move(progress_.expert_load);
  }
  progress_ = std::move(progress);
  is_new_ = true;
}

std::string RankProgressBoard::TakeReport() {
  std::lock_guard lock(mutex_);
  return std::exchange(is_new_, false) ? progress_.Serialize() : "";
}

std::vector<RankStatus> RankProgressBoard::Statuses(
    absl::Span<const ControlPeer> peers) const {
  std::vector<RankStatus> ranks;
  RankStatus& own = ranks.emplace_back();
  own.rank = rank_;
  own.host = host_;
  own.pid = getpid();
  {
    std::lock_guard lock(mutex_);
    own.progress = progress_;
  }
  for (const ControlPeer& peer : peers) {
    RankStatus& status = ranks.emplace_back();
    status.rank = peer.identity.rank;
    status.host = peer.identity.host;
    status.pid = peer.identity.pid;
    status.heartbeat_age = peer.silence;
    auto progress = RankProgress::Parse(peer.report);
    if (progress.ok()) status.progress = *std::move(progress);
    if (peer.failed) status.progress.state = RankState::kFailed;
  }
  return ranks;
}

}  // namespace moe

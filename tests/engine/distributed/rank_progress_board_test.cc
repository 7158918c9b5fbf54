#include "engine/distributed/rank_progress_board.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace moe {
namespace {

RankProgress ProgressAt(int64_t step) {
  RankProgress progress;
  progress.state = RankState::kInStep;
  progress.last_step = step;
  return progress;
}

TEST(RankProgressBoardTest, AReportIsTakenOnce) {
  RankProgressBoard board(1, "b");
  EXPECT_EQ(board.TakeReport(), "");
  board.Report(ProgressAt(6));
  board.Report(ProgressAt(7));
  const auto report = RankProgress::Parse(board.TakeReport());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->last_step, 7);
  EXPECT_EQ(board.TakeReport(), "");
}

TEST(RankProgressBoardTest, ALoadStaysUntilTheNextOne) {
  RankProgressBoard board(0, "a");
  RankProgress with_load = ProgressAt(1);
  with_load.expert_load = ExpertLoad{{MoeLayerLoad{}}};
  board.Report(with_load);
  board.Report(ProgressAt(2));
  const RankStatus own = board.Statuses({})[0];
  EXPECT_EQ(own.progress.last_step, 2);
  ASSERT_TRUE(own.progress.expert_load.has_value());
  EXPECT_EQ(own.progress.expert_load->layers.size(), 1u);
}

TEST(RankProgressBoardTest, PeersFollowThisRank) {
  RankProgressBoard board(0, "a");
  std::vector<ControlPeer> peers(2);
  peers[0].identity = {1, 77, "b"};
  peers[0].silence = absl::Seconds(2);
  peers[0].report = ProgressAt(4).Serialize();
  peers[1].identity = {2, 78, "c"};
  peers[1].failed = true;
  const std::vector<RankStatus> all = board.Statuses(peers);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].rank, 0);
  EXPECT_EQ(all[0].host, "a");
  EXPECT_EQ(all[0].pid, getpid());
  EXPECT_EQ(all[1].rank, 1);
  EXPECT_EQ(all[1].host, "b");
  EXPECT_EQ(all[1].pid, 77);
  EXPECT_EQ(all[1].heartbeat_age, absl::Seconds(2));
  EXPECT_EQ(all[1].progress.state, RankState::kInStep);
  EXPECT_EQ(all[1].progress.last_step, 4);
  // It has reported nothing.
  EXPECT_EQ(all[2].progress.state, RankState::kFailed);
  EXPECT_EQ(all[2].progress.last_step, -1);
}

}  // namespace
}  // namespace moe

#include "comm/control/control_link.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "comm/control/control_frames.h"
#include "comm/control/control_socket.h"
#include "comm/deadline.h"
#include "comm/thread_communicator.h"
#include "engine/distributed/control_link_setup.h"
#include "tests/comm/control/control_link_fixture.h"

namespace moe {
namespace {

// What a rank reports next.
class Report {
 public:
  void Set(std::string text) {
    std::lock_guard lock(mutex_);
    text_ = std::move(text);
  }
  bool IsTaken() {
    std::lock_guard lock(mutex_);
    return text_.empty();
  }
  std::string Take() {
    std::lock_guard lock(mutex_);
    return std::exchange(text_, "");
  }

 private:
  std::mutex mutex_;
  std::string text_;
};

// A link of ranks that are in this process.
struct Job {
  explicit Job(int size) : told(size), reports(size) {
    auto root = ControlLink::Listen(Options(0, size), told[0].Listener());
    EXPECT_TRUE(root.ok()) << root.status();
    links.push_back(*std::move(root));
    for (int r = 1; r < size; ++r) {
      ControlLinkOptions options = Options(r, size);
      options.report = [this, r] { return reports[r].Take(); };
      auto link = ControlLink::Connect(options, links[0]->address(),
                                       kWaitTimeout, told[r].Listener());
      EXPECT_TRUE(link.ok()) << link.status();
      links.push_back(*std::move(link));
    }
    EXPECT_TRUE(links[0]->AwaitAll(kWaitTimeout).ok());
  }

  std::vector<Told> told;
  std::vector<Report> reports;
  std::vector<std::unique_ptr<ControlLink>> links;
};

TEST(ControlLinkTest, CarriesReportsToRankZero) {
  Job job(3);
  job.reports[2].Set("step 7");
  EXPECT_TRUE(
      Eventually([&] { return job.links[0]->Peers()[1].report == "step 7"; }));
  const std::vector<ControlPeer> peers = job.links[0]->Peers();
  ASSERT_EQ(peers.size(), 2u);
  EXPECT_EQ(peers[0].report, "");
  EXPECT_EQ(peers[1].identity.rank, 2);
  EXPECT_EQ(peers[1].identity.host, "host2");
  EXPECT_EQ(peers[1].identity.pid, getpid());
  // A long one, and the one after it.
  const std::string longest(ControlLink::kMaxReportBytes, 'x');
  job.reports[1].Set(longest);
  EXPECT_TRUE(
      Eventually([&] { return job.links[0]->Peers()[0].report == longest; }));
  // Too long a one is not sent.
  job.reports[1].Set(longest + "x");
  EXPECT_TRUE(Eventually([&] { return job.reports[1].IsTaken(); }));
  job.reports[1].Set("short");
  EXPECT_TRUE(
      Eventually([&] { return job.links[0]->Peers()[0].report == "short"; }));
  EXPECT_TRUE(job.links[0]->status().ok());
}

TEST(ControlLinkTest, AFailureReachesEveryRankOnce) {
  Job job(4);
  job.links[2]->Fail(absl::InternalError("out of cheese"));
  for (int r = 0; r < 4; ++r) {
    const absl::Status reason = job.told[r].Wait();
    EXPECT_TRUE(absl::IsUnavailable(reason)) << r << ": " << reason;
    EXPECT_TRUE(absl::StrContains(
        reason.message(), absl::StrCat("rank 2 of 4 (host host2, process ",
                                       getpid(), ") failed: out of cheese")))
        << r << ": " << reason;
    EXPECT_EQ(job.links[r]->status(), reason) << r;
  }
  job.links[1]->Fail(absl::InternalError("me too"));  // the first is final
  job.links[0]->Fail(absl::InternalError("me too"));
  EXPECT_TRUE(absl::StrContains(job.links[0]->status().message(), "cheese"));
  job.links.clear();
  for (Told& told : job.told) EXPECT_EQ(told.count(), 1u);
}

TEST(ControlLinkTest, ARankThatFindsItselfFailingTellsAll) {
  Told root_told, told;
  auto root = ControlLink::Listen(Options(0, 2), root_told.Listener());
  ASSERT_TRUE(root.ok());
  std::atomic<bool> well = true;
  ControlLinkOptions options = Options(1, 2);
  options.self_check = [&well] {
    return well ? absl::OkStatus() : absl::UnavailableError("no launcher");
  };
  auto rank = ControlLink::Connect(options, (*root)->address(), kWaitTimeout,
                                   told.Listener());
  ASSERT_TRUE(rank.ok()) << rank.status();
  well = false;
  for (Told* one : {&root_told, &told}) {
    const absl::Status reason = one->Wait();
    EXPECT_TRUE(absl::StrContains(reason.message(), "rank 1 of 2")) << reason;
    EXPECT_TRUE(absl::EndsWith(reason.message(), "failed: no launcher"));
  }
}

TEST(ControlLinkTest, AnEndWithoutLeaveIsAFailure) {
  Job job(3);
  job.links[1].reset();
  for (int r : {0, 2}) {
    EXPECT_TRUE(absl::StrContains(job.told[r].Wait().message(),
                                  "has ended unexpectedly"))
        << r;
    EXPECT_TRUE(absl::StrContains(job.told[r].Wait().message(),
                                  "rank 1 of 3 (host host1"))
        << r;
  }
  EXPECT_EQ(job.told[1].count(), 0u);
}

TEST(ControlLinkTest, TheEndOfRankZeroIsOneToo) {
  Job job(3);
  job.links[0].reset();
  for (int r : {1, 2}) {
    EXPECT_TRUE(absl::StrContains(job.told[r].Wait().message(),
                                  "rank 0 of 3 (host host0"))
        << r;
  }
}

TEST(ControlLinkTest, ARankCanStayUntilRankZeroHasEnded) {
  Job job(3);
  job.links[2]->Fail(absl::InternalError("lost"));
  EXPECT_FALSE(job.told[1].Wait().ok());
  const Deadline lived(absl::Milliseconds(20));
  job.links[1]->AwaitClosed(absl::Milliseconds(20));
  EXPECT_TRUE(lived.Passed());
  std::thread waiting([&] {
    const Deadline timeout(kWaitTimeout);
    job.links[1]->AwaitClosed(kWaitTimeout);
    EXPECT_FALSE(timeout.Passed());
  });
  job.links[0].reset();
  waiting.join();
}

TEST(ControlLinkTest, NobodyStaysForARankZeroThatHasFailed) {
  Job job(2);
  job.links[0].reset();
  EXPECT_FALSE(job.told[1].Wait().ok());
  const Deadline timeout(kWaitTimeout);
  job.links[1]->AwaitClosed(kWaitTimeout);
  EXPECT_FALSE(timeout.Passed());
}

TEST(ControlLinkTest, RanksThatLeaveMayEnd) {
  Job job(3);
  std::vector<std::thread> ranks;
  for (auto& link : job.links) {
    ranks.emplace_back([&link] {
      EXPECT_TRUE(link->Leave(kWaitTimeout).ok());
      link.reset();
    });
  }
  for (std::thread& rank : ranks) rank.join();
  for (Told& told : job.told) EXPECT_EQ(told.count(), 0u);
}

TEST(ControlLinkTest, WhoStaysIsNamed) {
  Job job(3);
  std::thread leaving([&] {
    EXPECT_EQ(job.links[2]->Leave(absl::Milliseconds(10)).code(),
              absl::StatusCode::kDeadlineExceeded);
  });
  leaving.join();
  EXPECT_TRUE(Eventually([&] { return job.links[0]->Peers()[1].left; }));
  const absl::Status status = job.links[0]->Leave(absl::Milliseconds(10));
  EXPECT_TRUE(absl::StrContains(status.message(), "rank 1 of 3")) << status;
  EXPECT_FALSE(absl::StrContains(status.message(), "rank 2 of 3")) << status;
}

TEST(ControlLinkTest, RanksThatDoNotComeAreNamed) {
  Told told;
  auto root = ControlLink::Listen(Options(0, 4), told.Listener());
  ASSERT_TRUE(root.ok());
  auto rank2 = ControlLink::Connect(Options(2, 4), (*root)->address(),
                                    kWaitTimeout, told.Listener());
  ASSERT_TRUE(rank2.ok());
  EXPECT_TRUE(Eventually([&] { return (*root)->Peers()[1].connected; }));
  const absl::Status status = (*root)->AwaitAll(absl::Milliseconds(1));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(absl::EndsWith(status.message(), ": 1, 3")) << status;
}

TEST(ControlLinkTest, NobodyThereIsAnErrorWithTheAddresses) {
  auto root = ControlLink::Listen(Options(0, 2), {});
  ASSERT_TRUE(root.ok());
  const ControlLinkAddress address = (*root)->address();
  root->reset();
  const auto link =
      ControlLink::Connect(Options(1, 2), address, absl::Milliseconds(50), {});
  EXPECT_TRUE(absl::IsUnavailable(link.status()));
  EXPECT_TRUE(absl::StrContains(link.status().message(),
                                "127.0.0.1: no connection to 127.0.0.1 port"))
      << link.status();
}

// Connects to rank 0's port, says `bytes`, and returns true once rank 0 has
// closed the connection.
bool IsDropped(int port, const std::string& bytes) {
  auto socket = ConnectTo("127.0.0.1", port, Deadline(kWaitTimeout));
  if (!socket.ok()) return true;
  std::string out = bytes;
  std::string in;
  return Eventually([&] {
    return !SendFrom(*socket, out) || !ReceiveInto(*socket, 1 << 20, in);
  });
}

TEST(ControlLinkTest, StrangersAreDroppedAndRanksStillCome) {
  Told told;
  auto root = ControlLink::Listen(Options(0, 2), told.Listener());
  ASSERT_TRUE(root.ok());
  const ControlLinkAddress address = (*root)->address();
  EXPECT_TRUE(IsDropped(address.port, "GET / HTTP/1.1\r\n\r\n"));
  EXPECT_TRUE(IsDropped(address.port, std::string(1 << 20, '\0')));
  EXPECT_TRUE(IsDropped(address.port, std::string(1 << 20, '\xff')));
  std::string heartbeat;  // of an unknown sender
  AppendControlFrame(ControlFrameType::kHeartbeat, "report", heartbeat);
  EXPECT_TRUE(IsDropped(address.port, heartbeat));
  std::string failure;
  AppendControlFrame(ControlFrameType::kFailure, "report", failure);
  EXPECT_TRUE(IsDropped(address.port, failure));
  // Another job's rank: the right words, another secret.
  ControlLinkAddress wrong = address;
  wrong.secret[3] ^= 1;
  EXPECT_FALSE(
      ControlLink::Connect(Options(1, 2), wrong, absl::Milliseconds(50), {})
          .ok());
  // A rank that this job has not.
  EXPECT_FALSE(
      ControlLink::Connect(Options(2, 3), address, absl::Milliseconds(50), {})
          .ok());
  // Many connections that send nothing.
  std::vector<FileDescriptor> silent;
  for (int i = 0; i < 200; ++i) {
    auto socket = ConnectTo("127.0.0.1", address.port, Deadline(kWaitTimeout));
    if (socket.ok()) silent.push_back(*std::move(socket));
  }
  Told rank_told;
  auto rank = ControlLink::Connect(Options(1, 2), address, kWaitTimeout,
                                   rank_told.Listener());
  ASSERT_TRUE(rank.ok()) << rank.status();
  EXPECT_TRUE((*root)->AwaitAll(kWaitTimeout).ok());
  // The port is closed now.
  EXPECT_TRUE(Eventually([&] {
    return !ConnectTo("127.0.0.1", address.port, Deadline(absl::Seconds(1)))
                .ok();
  }));
  EXPECT_TRUE((*root)->status().ok());
  EXPECT_EQ(told.count(), 0u);
}

TEST(ControlLinkTest, OpensOverACommunicator) {
  auto groups = MakeThreadCommunicators(3);
  std::vector<std::thread> ranks;
  for (auto& group : groups) {
    ranks.emplace_back([&group] {
      ControlLinkOptions options;
      options.host = "here";
      auto link = OpenControlLink(*group, options, kWaitTimeout, {});
      EXPECT_TRUE(link.ok()) << link.status();
      if (link.ok()) {
        EXPECT_TRUE((*link)->Leave(kWaitTimeout).ok());
      }
    });
  }
  for (std::thread& rank : ranks) rank.join();
}

TEST(ControlLinkTest, WhatRanksHaveAgreedOnIsToldAsItIs) {
  Job job(3);
  job.links[2]->FailTogether(
      absl::NotFoundError("rank 1 on host 'b': no file"));
  for (Told& told : job.told) {
    EXPECT_EQ(told.Wait(),
              absl::UnavailableError("rank 1 on host 'b': no file"));
  }
}

TEST(ControlLinkTest, AllRanksKnowWhetherTheJobFailedInItsStart) {
  Job early(3);
  early.links[1]->Fail(absl::InternalError("too soon"));
  for (Told& told : early.told) EXPECT_FALSE(told.Wait().ok());
  early.links[0]->MarkReady();  // it is too late for that
  for (const auto& link : early.links) EXPECT_FALSE(link->started());

  Job late(3);
  late.links[0]->MarkReady();
  late.links[0]->Fail(absl::InternalError("enough"));
  for (int r = 0; r < 3; ++r) {
    EXPECT_FALSE(late.told[r].Wait().ok());
    EXPECT_TRUE(late.links[r]->started()) << r;
  }
}

}  // namespace
}  // namespace moe

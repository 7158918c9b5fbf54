#include "tests/comm/communicator_conformance.h"

#include <cstdint>
#include <numeric>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"

namespace moe {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(CommunicatorTest);

namespace {

// Values whose sum depends on the order of the additions.
float Value(int rank, size_t i) {
  return (rank % 2 == 0 ? 1.0f : -1.0f) *
         (1.0f +
          static_cast<float>((i * 7919 + rank * 104729) % 1000) * 1e-3f) *
         (rank % 3 == 0 ? 1e6f : 1.0f);
}

float SumInOrder(int size, size_t i) {
  float sum = Value(0, i);
  for (int r = 1; r < size; ++r) sum += Value(r, i);
  return sum;
}

TEST_P(CommunicatorTest, KnowsItsPlaceInTheWorld) {
  Run([](HostCommunicator& c) {
    std::vector<int> ranks(c.size());
    std::iota(ranks.begin(), ranks.end(), 0);
    EXPECT_EQ(c.world_ranks(), ranks);
    EXPECT_GE(c.rank(), 0);
    EXPECT_LT(c.rank(), c.size());
    EXPECT_TRUE(c.status().ok());
  });
}

TEST_P(CommunicatorTest, AllReduceAddsInTheOrderOfTheRanks) {
  // Below and above the size that takes two rounds; not divided by the ranks.
  for (size_t count : {size_t{0}, size_t{1}, size_t{13}, size_t{10007}}) {
    Run([count](HostCommunicator& c) {
      std::vector<float> data(count);
      for (size_t i = 0; i < count; ++i) data[i] = Value(c.rank(), i);
      EXPECT_TRUE(c.AllReduce(absl::MakeSpan(data)).ok());
      for (size_t i = 0; i < count; ++i) {
        EXPECT_EQ(data[i], SumInOrder(c.size(), i)) << i;
      }
    });
  }
}

TEST_P(CommunicatorTest, AllGatherOrdersByRankAlsoInPlace) {
  Run([](HostCommunicator& c) {
    std::vector<int> all(c.size());
    const int mine = 10 * c.rank() + 1;
    EXPECT_TRUE(c.AllGather(&mine, sizeof(mine), all.data()).ok());
    for (int r = 0; r < c.size(); ++r) EXPECT_EQ(all[r], 10 * r + 1);
    std::vector<int> in_place(c.size(), -1);
    in_place[c.rank()] = c.rank();
    EXPECT_TRUE(
        c.AllGather(&in_place[c.rank()], sizeof(int), in_place.data()).ok());
    for (int r = 0; r < c.size(); ++r) EXPECT_EQ(in_place[r], r);
    EXPECT_TRUE(c.AllGather(nullptr, 0, nullptr).ok());
  });
}

TEST_P(CommunicatorTest, BroadcastComesFromAnyRoot) {
  Run([](HostCommunicator& c) {
    for (int root = 0; root < c.size(); ++root) {
      std::vector<int> data(1000, c.rank() == root ? root : -1);
      EXPECT_TRUE(
          c.Broadcast(data.data(), data.size() * sizeof(int), root).ok());
      EXPECT_EQ(data, std::vector<int>(1000, root));
    }
    EXPECT_EQ(c.Broadcast(nullptr, 0, c.size()).code(),
              absl::StatusCode::kInvalidArgument);
  });
}

// Rank s sends d + 2 s bytes to rank d, but nothing where s + d is divisible by
// three; the size of a message shows its sender.
TEST_P(CommunicatorTest, ExchangeTakesUnevenAndEmptyMessages) {
  const auto bytes = [](int s, int d) {
    return (s + d) % 3 == 0 ? 0 : d + 2 * s;
  };
  Run([&](HostCommunicator& c) {
    std::vector<std::vector<uint8_t>> out(c.size()), in(c.size());
    std::vector<SendBuffer> sends;
    std::vector<ReceiveBuffer> receives;
    int messages = 0, sent = 0;
    for (int r = 0; r < c.size(); ++r) {
      out[r].assign(bytes(c.rank(), r),
                    static_cast<uint8_t>(c.rank() * 16 + r));
      in[r].assign(bytes(r, c.rank()), 0);
      sends.push_back({r, out[r].data(), out[r].size()});
      receives.push_back({r, in[r].data(), in[r].size()});
      if (r != c.rank() && !out[r].empty()) {
        ++messages;
        sent += out[r].size();
      }
    }
    c.ResetCounters();
    EXPECT_TRUE(c.Exchange(sends, receives).ok());
    EXPECT_EQ(c.counters().messages_sent, messages);
    EXPECT_EQ(c.counters().bytes_sent, sent);
    for (int r = 0; r < c.size(); ++r) {
      EXPECT_EQ(in[r],
                std::vector<uint8_t>(bytes(r, c.rank()),
                                     static_cast<uint8_t>(r * 16 + c.rank())));
    }
  });
}

TEST_P(CommunicatorTest, ExchangeMatchesInOrderAndInPieces) {
  Run(
      [](HostCommunicator& c) {
        const int next = (c.rank() + 1) % c.size();
        const int previous = (c.rank() + c.size() - 1) % c.size();
        std::vector<int> out(100), in(100, -1);
        for (int i = 0; i < 100; ++i) out[i] = c.rank() * 1000 + i;
        const std::vector<SendBuffer> sends = {{next, out.data(), 50 * 4},
                                               {next, out.data() + 50, 50 * 4}};
        const std::vector<ReceiveBuffer> receives = {
            {previous, in.data(), 50 * 4}, {previous, in.data() + 50, 50 * 4}};
        c.ResetCounters();
        EXPECT_TRUE(c.Exchange(sends, receives).ok());
        for (int i = 0; i < 100; ++i) EXPECT_EQ(in[i], previous * 1000 + i);
        // 200 bytes in pieces of at most 64.
        EXPECT_EQ(c.counters().messages_sent, c.size() == 1 ? 0 : 8);
      },
      absl::Seconds(20), /*max_message_bytes=*/64);
}

TEST_P(CommunicatorTest, ExchangesOverlapWithOtherOperations) {
  Run([](HostCommunicator& c) {
    const int next = (c.rank() + 1) % c.size();
    const int previous = (c.rank() + c.size() - 1) % c.size();
    const int out[2] = {c.rank(), c.rank() + 100};
    int in[2] = {-1, -1};
    std::vector<std::unique_ptr<PendingOperation>> pending;
    for (int i = 0; i < 2; ++i) {
      const SendBuffer send = {next, &out[i], sizeof(int)};
      const ReceiveBuffer receive = {previous, &in[i], sizeof(int)};
      auto begun = c.BeginExchange({&send, 1}, {&receive, 1}, "Ring");
      EXPECT_TRUE(begun.ok()) << begun.status();
      if (begun.ok()) pending.push_back(*std::move(begun));
    }
    std::vector<float> ones(5, 1.0f);
    EXPECT_TRUE(c.AllReduce(absl::MakeSpan(ones)).ok());
    EXPECT_EQ(ones[4], static_cast<float>(c.size()));
    while (!pending.empty()) {  // the last one first
      EXPECT_TRUE(pending.back()->Poll().ok());
      EXPECT_TRUE(pending.back()->Wait().ok());
      EXPECT_TRUE(*pending.back()->Poll());
      pending.pop_back();
    }
    EXPECT_EQ(in[0], previous);
    EXPECT_EQ(in[1], previous + 100);
  });
}

TEST_P(CommunicatorTest, LargeMessagesArriveWhole) {
  Run([](HostCommunicator& c) {
    constexpr size_t kCount = 1 << 19;  // 4 MiB
    std::vector<uint64_t> data(kCount, 0);
    if (c.rank() == 0) std::iota(data.begin(), data.end(), uint64_t{7});
    EXPECT_TRUE(c.Broadcast(data.data(), kCount * sizeof(uint64_t), 0).ok());
    uint64_t wrong = 0;
    for (size_t i = 0; i < kCount; ++i) wrong += data[i] != i + 7;
    EXPECT_EQ(wrong, 0u);
  });
}

TEST_P(CommunicatorTest, BadArgumentsAreErrorsThatLeaveTheGroupUsable) {
  Run([](HostCommunicator& c) {
    int x = 0;
    const SendBuffer outside = {c.size(), &x, sizeof(x)};
    const absl::Status status = c.Exchange({&outside, 1}, {});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(absl::StrCat("rank ", c.size())),
              absl::string_view::npos)
        << status;
    const SendBuffer to_self = {c.rank(), &x, sizeof(x)};
    EXPECT_EQ(c.Exchange({&to_self, 1}, {}).code(),
              absl::StatusCode::kInvalidArgument);
    const SendBuffer null = {0, nullptr, 4};
    EXPECT_EQ(c.Exchange({&null, 1}, {}).code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(c.Barrier().ok());
  });
}

TEST_P(CommunicatorTest, SplitMakesGroupsOrderedByKey) {
  Run([](HostCommunicator& c) {
    // Odd and even ranks, in reverse; rank 0 stays out of any.
    const int color = c.rank() == 0 ? -1 : c.rank() % 2;
    auto group = c.Split(color, -c.rank(), "halves");
    EXPECT_TRUE(group.ok()) << group.status();
    if (!group.ok()) return;
    if (c.rank() == 0) {
      EXPECT_EQ(*group, nullptr);
      return;
    }
    std::vector<int> members;
    for (int r = c.size() - 1; r > 0; --r) {
      if (r % 2 == color) members.push_back(r);
    }
    EXPECT_EQ((*group)->world_ranks(), members);
    EXPECT_EQ(members[(*group)->rank()], c.rank());
    EXPECT_EQ((*group)->name(), "halves");
    std::vector<float> sum = {static_cast<float>(c.rank())};
    EXPECT_TRUE((*group)->AllReduce(absl::MakeSpan(sum)).ok());
    EXPECT_EQ(sum[0], static_cast<float>(
                          std::accumulate(members.begin(), members.end(), 0)));
    // A group made by Split can be split.
    auto again = (*group)->Split(0, 0, "same");
    EXPECT_TRUE(again.ok() && (*again)->Barrier().ok());
  });
}

TEST_P(CommunicatorTest, AbortEndsTheOperationsOfAllRanks) {
  if (GetParam().make_ranks()->size() == 1) GTEST_SKIP() << "needs a peer";
  Run([](HostCommunicator& c) {
    c.set_step(42);
    const int gives_up = c.size() - 1;
    absl::Status status;
    if (c.rank() == gives_up) {
      c.Abort(absl::ResourceExhaustedError("no memory for 12 blocks"));
      status = c.Barrier();
    } else {
      std::vector<float> data(100);
      status = c.AllReduce(absl::MakeSpan(data));
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
    for (absl::string_view part :
         {absl::string_view("no memory for 12 blocks"),
          absl::string_view("group 'world'"), absl::string_view("step 42")}) {
      EXPECT_NE(status.message().find(part), absl::string_view::npos) << status;
    }
    EXPECT_NE(status.message().find(absl::StrCat("rank ", gives_up)),
              absl::string_view::npos)
        << status;
    EXPECT_EQ(c.Barrier(), status) << "the first failure is final";
    EXPECT_EQ(c.status(), status);
  });
}

TEST_P(CommunicatorTest, AbortByAnotherThreadEndsAWait) {
  if (GetParam().make_ranks()->size() == 1) GTEST_SKIP() << "needs a peer";
  Run([](HostCommunicator& c) {
    int x = 0;
    // A message that nobody sends; the watchdog ends the wait, or forestalls
    // it.
    const ReceiveBuffer receive = {(c.rank() + 1) % c.size(), &x, sizeof(x)};
    std::thread watchdog([&] {
      if (c.rank() == 0) {
        c.Abort(absl::CancelledError("stopped by the watchdog"));
      }
    });
    const absl::Status status = c.Exchange({}, {&receive, 1});
    watchdog.join();
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
    EXPECT_NE(status.message().find("stopped by the watchdog"),
              absl::string_view::npos)
        << status;
  });
}

TEST_P(CommunicatorTest, WaitEndsAtTheTimeoutAndNamesWhoIsLate) {
  if (GetParam().make_ranks()->size() == 1) GTEST_SKIP() << "needs a peer";
  Run(
      [](HostCommunicator& c) {
        c.set_step(7);
        if (c.rank() == 1) return;  // never comes
        int x = 0;
        const ReceiveBuffer receive = {1, &x, sizeof(x)};
        const absl::Status status = c.Exchange({}, {&receive, 1}, "Probe");
        EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
        for (absl::string_view part :
             {absl::string_view("Probe"), absl::string_view("group 'world'"),
              absl::string_view("step 7"), absl::string_view("100ms"),
              absl::string_view("with rank 1")}) {
          EXPECT_NE(status.message().find(part), absl::string_view::npos)
              << status;
        }
        EXPECT_GE(c.counters().wait_time, absl::Milliseconds(100));
        EXPECT_EQ(c.Barrier(), status);
      },
      absl::Milliseconds(100));
}

TEST_P(CommunicatorTest, MessagesOfAnotherSizeAreAnError) {
  if (GetParam().make_ranks()->size() == 1) GTEST_SKIP() << "needs a peer";
  Run([](HostCommunicator& c) {
    const char out[4] = {};
    if (c.rank() == 0) {
      const SendBuffer send = {1, out, 4};
      EXPECT_TRUE(c.Exchange({&send, 1}, {}).ok());
    } else if (c.rank() == 1) {
      char eight[8];
      const ReceiveBuffer receive = {0, eight, 8};
      const absl::Status status = c.Exchange({}, {&receive, 1});
      EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
      EXPECT_NE(status.message().find("4 bytes where 8"),
                absl::string_view::npos)
          << status;
    }
  });
}

}  // namespace
}  // namespace moe

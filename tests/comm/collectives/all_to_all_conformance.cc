#include "tests/comm/collectives/all_to_all_conformance.h"

#include <cstdint>
#include <random>
#include <vector>

#include "comm/collectives/all_gather_v.h"
#include "comm/collectives/all_to_all_v.h"
#include "comm/collectives/coordinated_all_to_all_v.h"
#include "comm/collectives/hierarchical_all_to_all_v.h"
#include "comm/collectives/row_blocks.h"

namespace moe {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(AllToAllTest);

namespace {

// A row says where it comes from: (source, destination, index, 0).
struct Row {
  int32_t source, destination, index, zero = 0;
  bool operator==(const Row& other) const {
    return source == other.source && destination == other.destination &&
           index == other.index && zero == other.zero;
  }
};

enum class Counts { kUneven, kNonZero, kOneReceiver, kNone };

// [p, p] rows from source to destination, equal on every rank.
std::vector<int64_t> CountMatrix(Counts counts, int p, int seed) {
  std::mt19937 random(seed);
  std::vector<int64_t> rows(p * p, 0);
  for (int s = 0; s < p; ++s) {
    for (int d = 0; d < p; ++d) {
      switch (counts) {
        case Counts::kUneven:  // a rank without rows, and empty pairs
          rows[s * p + d] = s == p / 2 ? 0 : random() % 3 * (random() % 9);
          break;
        case Counts::kNonZero:
          rows[s * p + d] = 1 + random() % 5;
          break;
        case Counts::kOneReceiver:
          rows[s * p + d] = d == p - 1 ? 17 : 0;
          break;
        case Counts::kNone:
          break;
      }
    }
  }
  return rows;
}

constexpr Counts kAllCounts[] = {Counts::kUneven, Counts::kNonZero,
                                 Counts::kOneReceiver, Counts::kNone};

std::vector<int64_t> SendRows(const std::vector<int64_t>& matrix, int p,
                              int source) {
  return {matrix.begin() + source * p, matrix.begin() + (source + 1) * p};
}

std::vector<Row> SendBufferOf(const std::vector<int64_t>& matrix, int p,
                              int source) {
  std::vector<Row> rows;
  for (int d = 0; d < p; ++d) {
    for (int i = 0; i < matrix[source * p + d]; ++i) {
      rows.push_back({source, d, i});
    }
  }
  return rows;
}

// What a rank must get, by the definition and not by any exchange.
std::vector<Row> ExpectedAt(const std::vector<int64_t>& matrix, int p,
                            int destination) {
  std::vector<Row> rows;
  for (int s = 0; s < p; ++s) {
    for (int i = 0; i < matrix[s * p + destination]; ++i) {
      rows.push_back({s, destination, i});
    }
  }
  return rows;
}

void ExpectDone(absl::StatusOr<std::unique_ptr<PendingOperation>> begun,
                bool poll) {
  EXPECT_TRUE(begun.ok()) << begun.status();
  if (!begun.ok()) return;
  for (int i = 0; poll && i < 3; ++i) {  // as a caller that computes meanwhile
    EXPECT_TRUE((*begun)->Poll().ok());
  }
  const absl::Status status = (*begun)->Wait();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_P(AllToAllTest, FlatDeliversInOrderOfTheSourcesAndBack) {
  Run([](HostCommunicator& c) {
    const int p = c.size();
    for (Counts counts : kAllCounts) {
      const auto matrix = CountMatrix(counts, p, 11);
      auto plan = PlanAllToAllV(c, SendRows(matrix, p, c.rank()));
      EXPECT_TRUE(plan.ok()) << plan.status();
      if (!plan.ok()) return;
      const std::vector<Row> sent = SendBufferOf(matrix, p, c.rank());
      std::vector<Row> received(TotalRows(plan->receive_rows));
      c.ResetCounters();
      ExpectDone(
          BeginAllToAllV(c, *plan, sent.data(), sizeof(Row), received.data()),
          true);
      EXPECT_EQ(received, ExpectedAt(matrix, p, c.rank()));
      if (counts == Counts::kNonZero) {
        EXPECT_EQ(c.counters().messages_sent, p - 1);
      }
      std::vector<Row> back(sent.size());
      ExpectDone(BeginAllToAllV(c, plan->Reversed(), received.data(),
                                sizeof(Row), back.data()),
                 false);
      EXPECT_EQ(back, sent);
    }
  });
}

TEST_P(AllToAllTest, HierarchicalEqualsFlatWithFewerMessages) {
  const int places = GetParam().shape.ranks_per_node;
  const int nodes = GetParam().shape.num_nodes;
  Run([=](HostCommunicator& c) {
    const int p = c.size();
    auto node = c.Split(c.rank() / places, c.rank(), "node");
    auto cross = c.Split(c.rank() % places, c.rank(), "cross");
    EXPECT_TRUE(node.ok() && cross.ok());
    if (!node.ok() || !cross.ok()) return;
    const HierarchicalGroups groups = {node->get(), cross->get()};
    const auto messages = [&] {
      return groups.node->counters().messages_sent +
             groups.cross->counters().messages_sent;
    };
    const auto reset = [&] {
      groups.node->ResetCounters();
      groups.cross->ResetCounters();
    };
    const int most = (places - 1) + (nodes - 1);
    for (Counts counts : kAllCounts) {
      const auto matrix = CountMatrix(counts, p, 12);
      reset();
      auto plan =
          PlanHierarchicalAllToAllV(groups, SendRows(matrix, p, c.rank()));
      EXPECT_TRUE(plan.ok()) << plan.status();
      if (!plan.ok()) return;
      EXPECT_EQ(messages(), most);
      const std::vector<Row> sent = SendBufferOf(matrix, p, c.rank());
      std::vector<Row> received(TotalRows(plan->rows.receive_rows));
      reset();
      ExpectDone(BeginHierarchicalAllToAllV(groups, *plan, sent.data(),
                                            sizeof(Row), received.data()),
                 true);
      EXPECT_EQ(received, ExpectedAt(matrix, p, c.rank()));
      EXPECT_LE(messages(), most);
      if (counts == Counts::kNonZero) {
        EXPECT_EQ(messages(), most);
      }
      std::vector<Row> back(sent.size());
      reset();
      ExpectDone(BeginHierarchicalReturn(groups, *plan, received.data(),
                                         sizeof(Row), back.data()),
                 counts == Counts::kUneven);
      EXPECT_EQ(back, sent);
      if (counts == Counts::kNonZero) {
        EXPECT_EQ(messages(), most);
      }
    }
  });
}

// Tensor groups of L ranks with equal rows: what arrives is what a flat
// exchange delivers where replica l sends the l-th run of each block.
TEST_P(AllToAllTest, CoordinatedEqualsFlatOverTheReplicas) {
  Run([](HostCommunicator& c) {
    const int p = c.size();
    for (int replicas = 1; replicas <= p; ++replicas) {
      if (p % replicas != 0) continue;
      const int num_groups = p / replicas;
      const int group = c.rank() / replicas;
      auto same = c.Split(group, c.rank(), "replicas");
      auto peers = c.Split(c.rank() % replicas, c.rank(), "peers");
      EXPECT_TRUE(same.ok() && peers.ok());
      if (!same.ok() || !peers.ok()) return;
      const CoordinatedGroups groups = {same->get(), peers->get()};
      for (Counts counts : kAllCounts) {
        // Of the [p, p] matrix the first rows: one for each source group.
        const auto matrix = CountMatrix(counts, p, 13 + replicas);
        const std::vector<int64_t> send_rows = SendRows(matrix, p, group);
        auto plan = PlanCoordinatedAllToAllV(groups, send_rows);
        EXPECT_TRUE(plan.ok()) << plan.status();
        if (!plan.ok()) return;
        const std::vector<Row> sent = SendBufferOf(matrix, p, group);
        std::vector<Row> received(TotalRows(plan->receive_rows));
        groups.peers->ResetCounters();
        groups.replicas->ResetCounters();
        ExpectDone(BeginCoordinatedAllToAllV(groups, *plan, sent.data(),
                                             sizeof(Row), received.data()),
                   true);
        if (counts == Counts::kNonZero) {
          EXPECT_EQ(groups.peers->counters().messages_sent, num_groups - 1);
        }
        EXPECT_EQ(groups.replicas->counters().messages_sent, 0);

        // The flat exchange: each replica sends its run of each block.
        std::vector<int64_t> run_rows;
        std::vector<Row> runs;
        for (int d = 0, begin = 0; d < p; ++d) {
          const int rows = static_cast<int>(send_rows[d]),
                    l = groups.replicas->rank();
          const int from = rows * l / replicas, to = rows * (l + 1) / replicas;
          run_rows.push_back(to - from);
          runs.insert(runs.end(), sent.begin() + begin + from,
                      sent.begin() + begin + to);
          begin += rows;
        }
        auto flat = PlanAllToAllV(c, run_rows);
        EXPECT_TRUE(flat.ok()) << flat.status();
        if (!flat.ok()) return;
        std::vector<Row> expected(TotalRows(flat->receive_rows));
        EXPECT_TRUE(
            AllToAllV(c, *flat, runs.data(), sizeof(Row), expected.data())
                .ok());
        EXPECT_EQ(received, expected);

        std::vector<Row> back(sent.size());
        groups.peers->ResetCounters();
        ExpectDone(BeginCoordinatedReturn(groups, *plan, received.data(),
                                          sizeof(Row), back.data()),
                   counts == Counts::kUneven);
        EXPECT_EQ(back, sent);
        if (counts == Counts::kNonZero) {
          EXPECT_EQ(groups.peers->counters().messages_sent, num_groups - 1);
          EXPECT_EQ(groups.replicas->counters().messages_sent, replicas - 1);
        }
      }
    }
  });
}

TEST_P(AllToAllTest, AllGatherVJoinsUnevenRowsInPlace) {
  Run([](HostCommunicator& c) {
    const int p = c.size();
    std::vector<int64_t> rows(p);
    std::vector<Row> expected;
    for (int r = 0; r < p; ++r) {
      rows[r] = r == p / 2 ? 0 : 3 * r + 1;
      for (int i = 0; i < rows[r]; ++i) expected.push_back({r, -1, i});
    }
    const int64_t begin = RowOffsets(rows)[c.rank()];
    std::vector<Row> all(expected.size(), Row{-1, -1, -1});
    for (int i = 0; i < rows[c.rank()]; ++i) all[begin + i] = {c.rank(), -1, i};
    EXPECT_TRUE(
        AllGatherV(c, &all.data()[begin], rows, sizeof(Row), all.data()).ok());
    EXPECT_EQ(all, expected);
  });
}

TEST_P(AllToAllTest, WrongCountsAreErrorsBeforeAnythingIsSent) {
  Run([](HostCommunicator& c) {
    std::vector<int64_t> rows(c.size() + 1, 0);
    EXPECT_EQ(PlanAllToAllV(c, rows).status().code(),
              absl::StatusCode::kInvalidArgument);
    rows.resize(c.size());
    rows[0] = -1;
    EXPECT_EQ(PlanAllToAllV(c, rows).status().code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(AllGatherV(c, nullptr, rows, 1, nullptr).code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(c.Barrier().ok());
  });
}

}  // namespace
}  // namespace moe

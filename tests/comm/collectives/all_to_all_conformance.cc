#include "tests/comm/collectives/all_to_all_conformance.h"

#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "comm/collectives/all_gather_bytes.h"
#include "comm/collectives/all_gather_v.h"
#include "comm/collectives/all_to_all_v.h"
#include "comm/collectives/coordinated_all_to_all_v.h"
#include "comm/collectives/hierarchical_all_to_all_v.h"
#include "comm/collectives/row_blocks.h"
#include "comm/staged_communicator.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"
#include "kernels/core/thread_pool.h"
#include "tests/support/device_tensors.h"
#include "tests/support/test_device.h"

namespace moe {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(AllToAllTest);

namespace {

// A row says where it comes from: (source, destination, index, 0).
using Row = std::array<int32_t, 4>;
using Rows = std::vector<Row>;

// One rank's device, and tensors between it and the test.
class RankDevice {
 public:
  RankDevice() : stream_(*TestStream()(threads_)) {}

  Stream& stream() { return *stream_; }

  // [rows, 4] i32, in memory of one row more: tensors without rows have some.
  TensorView Upload(const Rows& rows) {
    std::vector<int32_t> values;
    for (const Row& row : rows) {
      values.insert(values.end(), row.begin(), row.end());
    }
    const auto count = static_cast<int64_t>(rows.size());
    values.resize((count + 1) * 4);
    kept_.push_back(ToDevice(values, DType::kI32, {count + 1, 4}, *stream_));
    return kept_.back().view().Rows(0, count);
  }
  TensorView Make(int64_t rows) { return Upload(Rows(rows, Row{-1, -1})); }

  Rows Download(const TensorView& tensor) {
    const auto values = ToHost<int32_t>(tensor, *stream_);
    Rows rows(tensor.dims[0]);
    for (size_t i = 0; i < values.size(); ++i) rows[i / 4][i % 4] = values[i];
    return rows;
  }

  // The group of these ranks for tensors.
  std::unique_ptr<Communicator> Group(HostCommunicator& all, int color,
                                      const std::string& name) {
    auto group = all.Split(color, all.rank(), name);
    EXPECT_TRUE(group.ok()) << group.status();
    return std::make_unique<StagedCommunicator>(*std::move(group),
                                                TestBackend());
  }

 private:
  ThreadPool threads_{1};
  std::unique_ptr<Stream> stream_;
  std::vector<Tensor> kept_;
};

int64_t SentIn(const Communicator& group) {
  return group.counters().messages_sent;
}

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

Rows SendBufferOf(const std::vector<int64_t>& matrix, int p, int source) {
  Rows rows;
  for (int d = 0; d < p; ++d) {
    for (int i = 0; i < matrix[source * p + d]; ++i) {
      rows.push_back({source, d, i});
    }
  }
  return rows;
}

// What a rank must get, by the definition and not by any exchange.
Rows ExpectedAt(const std::vector<int64_t>& matrix, int p, int destination) {
  Rows rows;
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
  Run([](HostCommunicator& all) {
    RankDevice device;
    const auto c = device.Group(all, 0, "all");
    const int p = c->size();
    for (Counts counts : kAllCounts) {
      const auto matrix = CountMatrix(counts, p, 11);
      auto plan = PlanAllToAllV(c->host(), SendRows(matrix, p, c->rank()));
      EXPECT_TRUE(plan.ok()) << plan.status();
      if (!plan.ok()) return;
      const Rows sent = SendBufferOf(matrix, p, c->rank());
      const TensorView send = device.Upload(sent);
      const TensorView received = device.Make(TotalRows(plan->receive_rows));
      c->host().ResetCounters();
      ExpectDone(BeginAllToAllV(*c, *plan, send, received, device.stream()),
                 true);
      EXPECT_EQ(device.Download(received), ExpectedAt(matrix, p, c->rank()));
      if (counts == Counts::kNonZero) {
        EXPECT_EQ(SentIn(*c), p - 1);
      }
      const TensorView back = device.Make(send.dims[0]);
      ExpectDone(
          BeginAllToAllV(*c, plan->Reversed(), received, back, device.stream()),
          false);
      EXPECT_EQ(device.Download(back), sent);
    }
  });
}

TEST_P(AllToAllTest, HierarchicalEqualsFlatWithFewerMessages) {
  const int local_ranks = GetParam().shape.ranks_per_node;
  const int nodes = GetParam().shape.num_nodes;
  Run([=](HostCommunicator& c) {
    RankDevice device;
    HierarchicalScratch scratch;
    const int p = c.size();
    const auto node = device.Group(c, c.rank() / local_ranks, "node");
    const auto cross = device.Group(c, c.rank() % local_ranks, "cross");
    const HierarchicalGroups groups = {node.get(), cross.get()};
    const auto messages = [&] { return SentIn(*node) + SentIn(*cross); };
    const auto reset = [&] {
      node->host().ResetCounters();
      cross->host().ResetCounters();
    };
    const int most = (local_ranks - 1) + (nodes - 1);
    for (Counts counts : kAllCounts) {
      const auto matrix = CountMatrix(counts, p, 12);
      reset();
      auto plan =
          PlanHierarchicalAllToAllV(groups, SendRows(matrix, p, c.rank()));
      EXPECT_TRUE(plan.ok()) << plan.status();
      if (!plan.ok()) return;
      EXPECT_EQ(messages(), most);
      const Rows sent = SendBufferOf(matrix, p, c.rank());
      const TensorView send = device.Upload(sent);
      const TensorView received =
          device.Make(TotalRows(plan->rows.receive_rows));
      reset();
      ExpectDone(BeginHierarchicalAllToAllV(groups, *plan, send, received,
                                            scratch, device.stream()),
                 true);
      EXPECT_EQ(device.Download(received), ExpectedAt(matrix, p, c.rank()));
      EXPECT_LE(messages(), most);
      if (counts == Counts::kNonZero) {
        EXPECT_EQ(messages(), most);
      }
      const TensorView back = device.Make(send.dims[0]);
      reset();
      ExpectDone(BeginHierarchicalReturn(groups, *plan, received, back, scratch,
                                         device.stream()),
                 counts == Counts::kUneven);
      EXPECT_EQ(device.Download(back), sent);
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
    RankDevice device;
    Tensor scratch;
    const int p = c.size();
    const auto everybody = device.Group(c, 0, "all");
    for (int replicas = 1; replicas <= p; ++replicas) {
      if (p % replicas != 0) continue;
      const int num_groups = p / replicas;
      const int source = c.rank() / replicas;
      const auto same = device.Group(c, source, "replicas");
      const auto peers = device.Group(c, c.rank() % replicas, "peers");
      const CoordinatedGroups groups = {same.get(), peers.get()};
      for (Counts counts : kAllCounts) {
        // Of the [p, p] matrix the first rows: one for each source group.
        const auto matrix = CountMatrix(counts, p, 13 + replicas);
        const std::vector<int64_t> send_rows = SendRows(matrix, p, source);
        auto plan = PlanCoordinatedAllToAllV(groups, send_rows);
        EXPECT_TRUE(plan.ok()) << plan.status();
        if (!plan.ok()) return;
        const Rows sent = SendBufferOf(matrix, p, source);
        const TensorView send = device.Upload(sent);
        const TensorView received = device.Make(TotalRows(plan->receive_rows));
        peers->host().ResetCounters();
        same->host().ResetCounters();
        ExpectDone(BeginCoordinatedAllToAllV(groups, *plan, send, received,
                                             device.stream()),
                   true);
        if (counts == Counts::kNonZero) {
          EXPECT_EQ(SentIn(*peers), num_groups - 1);
        }
        EXPECT_EQ(SentIn(*same), 0);

        // The flat exchange: each replica sends its run of each block.
        std::vector<int64_t> run_rows;
        Rows runs;
        for (int d = 0, begin = 0; d < p; ++d) {
          const int rows = static_cast<int>(send_rows[d]), l = same->rank();
          const int from = rows * l / replicas, to = rows * (l + 1) / replicas;
          run_rows.push_back(to - from);
          runs.insert(runs.end(), sent.begin() + begin + from,
                      sent.begin() + begin + to);
          begin += rows;
        }
        auto flat = PlanAllToAllV(c, run_rows);
        EXPECT_TRUE(flat.ok()) << flat.status();
        if (!flat.ok()) return;
        const TensorView expected = device.Make(TotalRows(flat->receive_rows));
        EXPECT_TRUE(AllToAllV(*everybody, *flat, device.Upload(runs), expected,
                              device.stream())
                        .ok());
        EXPECT_EQ(device.Download(received), device.Download(expected));

        const TensorView back = device.Make(send.dims[0]);
        peers->host().ResetCounters();
        ExpectDone(BeginCoordinatedReturn(groups, *plan, received, back,
                                          scratch, device.stream()),
                   counts == Counts::kUneven);
        EXPECT_EQ(device.Download(back), sent);
        if (counts == Counts::kNonZero) {
          EXPECT_EQ(SentIn(*peers), num_groups - 1);
          EXPECT_EQ(SentIn(*same), replicas - 1);
        }
      }
    }
  });
}

TEST_P(AllToAllTest, AllGatherVJoinsUnevenRowsInPlace) {
  Run([](HostCommunicator& all) {
    RankDevice device;
    const auto c = device.Group(all, 0, "all");
    const int p = c->size();
    std::vector<int64_t> rows(p);
    Rows expected;
    for (int r = 0; r < p; ++r) {
      rows[r] = r == p / 2 ? 0 : 3 * r + 1;
      for (int i = 0; i < rows[r]; ++i) expected.push_back({r, -1, i});
    }
    const int64_t begin = RowOffsets(rows)[c->rank()];
    Rows filled(expected.size(), Row{-1, -1, -1});
    for (int i = 0; i < rows[c->rank()]; ++i) {
      filled[begin + i] = {c->rank(), -1, i};
    }
    const TensorView gathered = device.Upload(filled);
    const absl::Status status =
        AllGatherV(*c, gathered.Rows(begin, begin + rows[c->rank()]), rows,
                   gathered, device.stream());
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(device.Download(gathered), expected);
  });
}

TEST_P(AllToAllTest, AllGatherBytesJoinsTextsOfAnyLength) {
  Run([](HostCommunicator& c) {
    const auto text = [](int rank) {
      return std::string(rank % 3, 'a' + rank);
    };
    const auto texts = AllGatherBytes(c, text(c.rank()));
    EXPECT_TRUE(texts.ok()) << texts.status();
    for (int r = 0; texts.ok() && r < c.size(); ++r) {
      EXPECT_EQ((*texts)[r], text(r));
    }
  });
}

TEST_P(AllToAllTest, WrongCountsAreErrorsBeforeAnythingIsSent) {
  Run([](HostCommunicator& all) {
    RankDevice device;
    const auto c = device.Group(all, 0, "all");
    std::vector<int64_t> rows(c->size() + 1, 0);
    EXPECT_EQ(PlanAllToAllV(c->host(), rows).status().code(),
              absl::StatusCode::kInvalidArgument);
    rows.resize(c->size());
    const TensorView one = device.Make(1);
    // A tensor of other rows than the counts say.
    EXPECT_EQ(AllGatherV(*c, one, rows, one, device.stream()).code(),
              absl::StatusCode::kInvalidArgument);
    rows[0] = -1;
    EXPECT_EQ(PlanAllToAllV(c->host(), rows).status().code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(AllGatherV(*c, one, rows, one, device.stream()).code(),
              absl::StatusCode::kInvalidArgument);
    // Alone on a node of its own, with rows of other counts than the plan's.
    const auto self = device.Group(all, all.rank(), "self");
    const HierarchicalGroups groups = {self.get(), self.get()};
    const auto plan = PlanHierarchicalAllToAllV(groups, {{2}});
    EXPECT_TRUE(plan.ok()) << plan.status();
    const TensorView two = device.Make(2);
    HierarchicalScratch scratch;
    for (const auto& [send, receive] :
         {std::pair(one, two), std::pair(two, one)}) {
      EXPECT_EQ(BeginHierarchicalAllToAllV(groups, *plan, send, receive,
                                           scratch, device.stream())
                    .status()
                    .code(),
                absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(BeginHierarchicalReturn(groups, *plan, send, receive, scratch,
                                        device.stream())
                    .status()
                    .code(),
                absl::StatusCode::kInvalidArgument);
    }
    EXPECT_TRUE(all.Barrier().ok());
  });
}

}  // namespace
}  // namespace moe

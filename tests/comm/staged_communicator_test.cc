#include "comm/staged_communicator.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/core/thread_pool.h"
#include "tests/support/device_tensors.h"
#include "tests/support/ranks.h"
#include "tests/support/test_device.h"

namespace moe {
namespace {

// The test's device, which counts what it gives out.
class CountingBackend : public DeviceBackend {
 public:
  Device device() const override { return real_.device(); }
  DType activation_dtype() const override { return real_.activation_dtype(); }
  absl::StatusOr<int64_t> AvailableBytes() const override {
    return real_.AvailableBytes();
  }
  absl::StatusOr<DeviceMemory> Allocate(size_t bytes,
                                        MemoryKind kind) override {
    ++allocations_;
    return real_.Allocate(bytes, kind);
  }

  int allocations() const { return allocations_; }

 private:
  void Free(void*, size_t, MemoryKind) override {}  // memory is real_'s

  DeviceBackend& real_ = TestBackend();
  int allocations_ = 0;
};

// What one rank needs.
struct Rank {
  explicit Rank(HostCommunicator& all)
      : stream(*TestStream()(threads)),
        group(*all.Split(0, all.rank(), "staged"), backend) {}

  Tensor Floats(const std::vector<float>& values) {
    return ToDevice(values, DType::kF32, {static_cast<int64_t>(values.size())},
                    *stream);
  }

  ThreadPool threads{1};
  CountingBackend backend;
  std::unique_ptr<Stream> stream;
  StagedCommunicator group;
};

// Values whose sum depends on the order of the additions.
float Value(int rank, size_t i) {
  return (rank % 2 == 0 ? 1.0f : -1.0f) *
         (1.0f +
          static_cast<float>((i * 7919 + rank * 104729) % 1000) * 1e-3f) *
         (rank % 3 == 0 ? 1e6f : 1.0f);
}

TEST(StagedCommunicatorTest, AllReduceAddsInTheOrderOfTheRanks) {
  for (const int size : {1, 2, 3, 5}) {
    RunThreadRanks(size, [](HostCommunicator& all) {
      Rank rank(all);
      EXPECT_TRUE(rank.group.sums_in_rank_order());
      for (const size_t count : {size_t{1}, size_t{13}, size_t{10007}}) {
        std::vector<float> values(count);
        for (size_t i = 0; i < count; ++i) values[i] = Value(all.rank(), i);
        const Tensor data = rank.Floats(values);
        // Twice: the second finds the memory of the first in use by its copy.
        for (int round = 0; round < 2; ++round) {
          const absl::Status status =
              rank.group.AllReduce(data.view(), *rank.stream);
          EXPECT_TRUE(status.ok()) << status;
        }
        const auto sums = ToHost<float>(data.view(), *rank.stream);
        for (size_t i = 0; i < count; ++i) {
          float first = Value(0, i);
          for (int r = 1; r < all.size(); ++r) first += Value(r, i);
          float second = first;
          for (int r = 1; r < all.size(); ++r) second += first;
          EXPECT_EQ(sums[i], second) << i;
        }
      }
    });
  }
}

TEST(StagedCommunicatorTest, ExchangesAreSeenByTheStreamAlone) {
  RunThreadRanks(3, [](HostCommunicator& all) {
    Rank rank(all);
    const int next = (all.rank() + 1) % 3, last = (all.rank() + 2) % 3;
    const Tensor own = rank.Floats({1.0f * all.rank(), 10.0f * all.rank()});
    const Tensor from_last = rank.Floats({-1, -1});
    const Tensor from_self = rank.Floats({-1, -1});
    const Tensor none = rank.Floats({0});
    const TensorMessage sends[] = {{next, own.view()},
                                   {all.rank(), own.view()},
                                   {next, none.view().Rows(0, 0)}};
    const TensorMessage receives[] = {{last, from_last.view()},
                                      {all.rank(), from_self.view()},
                                      {last, none.view().Rows(0, 0)}};
    auto pending =
        rank.group.BeginExchange(sends, receives, "test", *rank.stream);
    EXPECT_TRUE(pending.ok()) << pending.status();
    if (!pending.ok()) return;
    EXPECT_TRUE((*pending)->Wait().ok());
    EXPECT_TRUE(*(*pending)->Poll());
    EXPECT_EQ(ToHost<float>(from_last.view(), *rank.stream),
              (std::vector<float>{1.0f * last, 10.0f * last}));
    EXPECT_EQ(ToHost<float>(from_self.view(), *rank.stream),
              (std::vector<float>{1.0f * all.rank(), 10.0f * all.rank()}));
    // To the next rank; a copy to itself and nothing are no messages.
    EXPECT_EQ(rank.group.counters().messages_sent, 1);
  });
}

TEST(StagedCommunicatorTest, MemoryIsKeptForTheNextExchange) {
  RunThreadRanks(2, [](HostCommunicator& all) {
    Rank rank(all);
    const Tensor data = rank.Floats(std::vector<float>(100, 1));
    const TensorMessage message = {1 - all.rank(), data.view()};
    const absl::Span<const TensorMessage> one(&message, 1), none;
    for (int i = 0; i < 100; ++i) {
      // One way, the other way, and both.
      const bool sends = i % 3 == 2 || i % 3 == all.rank();
      const bool receives = i % 3 == 2 || !sends;
      auto pending = rank.group.BeginExchange(
          sends ? one : none, receives ? one : none, "test", *rank.stream);
      EXPECT_TRUE(pending.ok()) << pending.status();
      if (!pending.ok()) return;
      EXPECT_TRUE((*pending)->Wait().ok());
      EXPECT_TRUE(rank.group.AllReduce(data.view(), *rank.stream).ok());
    }
    EXPECT_LE(rank.backend.allocations(), 2);
  });
}

TEST(StagedCommunicatorTest, AFailedGroupTakesNoMemory) {
  CommunicatorOptions options;
  options.timeout = absl::Milliseconds(200);
  ThreadRanks(2).Run(options, [](HostCommunicator& all) {
    Rank rank(all);
    if (all.rank() == 1) return;  // never comes
    for (int i = 0; i < 3; ++i) {
      // More each time: memory of the last would not do.
      const Tensor data = rank.Floats(std::vector<float>(100 << i, 1));
      const TensorMessage message = {1, data.view()};
      const auto pending =
          rank.group.BeginExchange({}, {&message, 1}, "test", *rank.stream);
      EXPECT_EQ(pending.ok(), i == 0) << pending.status();
      if (pending.ok()) {
        EXPECT_FALSE((*pending)->Wait().ok());
      }
      EXPECT_FALSE(rank.group.AllReduce(data.view(), *rank.stream).ok());
    }
    EXPECT_LE(rank.backend.allocations(), 1);
  });
}

TEST(StagedCommunicatorTest, TensorsThatCannotTravelAreNamed) {
  RunThreadRanks(2, [](HostCommunicator& all) {
    Rank rank(all);
    const Tensor wide =
        ToDevice(std::vector<float>(8), DType::kF32, {2, 4}, *rank.stream);
    TensorView gaps = wide.view();
    gaps.dims[1] = 3;
    EXPECT_EQ(rank.group.AllReduce(gaps, *rank.stream).code(),
              absl::StatusCode::kInvalidArgument);
    TensorView elsewhere = wide.view();
    elsewhere.device = {DeviceType::kCpu, 1000};
    EXPECT_EQ(rank.group.AllReduce(elsewhere, *rank.stream).code(),
              absl::StatusCode::kInvalidArgument);
    TensorView numbers = wide.view();
    numbers.dtype = DType::kI32;
    EXPECT_EQ(rank.group.AllReduce(numbers, *rank.stream).code(),
              absl::StatusCode::kInvalidArgument);
    const TensorMessage message = {0, gaps};
    EXPECT_EQ(rank.group.BeginExchange({&message, 1}, {}, "test", *rank.stream)
                  .status()
                  .code(),
              absl::StatusCode::kInvalidArgument);
    // The group remains usable.
    EXPECT_TRUE(rank.group.AllReduce(wide.view(), *rank.stream).ok());
  });
}

TEST(StagedCommunicatorTest, AnAbortEndsWaitsWithItsReason) {
  RunThreadRanks(2, [](HostCommunicator& all) {
    Rank rank(all);
    const Tensor data = rank.Floats(std::vector<float>(100, 1));
    if (all.rank() == 1) {
      rank.group.host().Abort(absl::InternalError("out of memory"));
      return;
    }
    const absl::Status sum = rank.group.AllReduce(data.view(), *rank.stream);
    EXPECT_EQ(sum.code(), absl::StatusCode::kAborted) << sum;
    const TensorMessage message = {1, data.view()};
    EXPECT_EQ(rank.group.BeginExchange({}, {&message, 1}, "test", *rank.stream)
                  .status()
                  .code(),
              absl::StatusCode::kAborted);
  });
}

}  // namespace
}  // namespace moe

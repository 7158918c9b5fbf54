// Hundreds of megabytes in one message and in pieces: on 2 ranks, mpirun's -np.
// Needs 1.5 GB of memory.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "tests/support/mpi_ranks.h"

namespace moe {
namespace {

class MpiLargeMessageTest : public testing::TestWithParam<size_t> {};

TEST_P(MpiLargeMessageTest, ArrivesWhole) {
  CommunicatorOptions options;
  options.max_message_bytes = GetParam();
  MpiRanks().Run(options, [](HostCommunicator& c) {
    constexpr size_t kCount = (300 << 20) / sizeof(uint64_t);
    const int peer = 1 - c.rank();
    std::vector<uint64_t> out(kCount), in(kCount);
    for (size_t i = 0; i < kCount; ++i) out[i] = i * 2 + c.rank();
    const SendBuffer send = {peer, out.data(), kCount * sizeof(uint64_t)};
    const ReceiveBuffer receive = {peer, in.data(), kCount * sizeof(uint64_t)};
    const absl::Status status = c.Exchange({&send, 1}, {&receive, 1});
    EXPECT_TRUE(status.ok()) << status;
    size_t wrong = 0;
    for (size_t i = 0; i < kCount; ++i) wrong += in[i] != i * 2 + peer;
    EXPECT_EQ(wrong, 0u);
    const auto pieces = static_cast<int64_t>(
        (kCount * sizeof(uint64_t) + c.options().max_message_bytes - 1) /
        c.options().max_message_bytes);
    EXPECT_EQ(c.counters().messages_sent, pieces);
  });
}

INSTANTIATE_TEST_SUITE_P(PieceBytes, MpiLargeMessageTest,
                         testing::Values(size_t{1} << 30, size_t{64} << 20));

}  // namespace
}  // namespace moe

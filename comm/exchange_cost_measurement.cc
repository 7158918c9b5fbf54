#include "comm/exchange_cost_measurement.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "comm/deadline.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr size_t kSmallBytes = 64;
constexpr size_t kLargeBytes = 256 << 10;
constexpr int kManyMessages = 8;

// Exchanges that follow each other without a barrier: as ranks leave a barrier
// at different times, what comes after it cannot be timed one by one.
constexpr int kInARow = 5;

// Seconds that one exchange of `num_messages` with the next ranks, one after
// the other and around again, takes in a row of them.
absl::StatusOr<double> MedianSeconds(Communicator& group, int num_messages,
                                     size_t bytes, int repetitions) {
  const int size = group.size();
  std::vector<std::byte> out(bytes), in(num_messages * bytes);
  std::vector<SendBuffer> sends;
  std::vector<ReceiveBuffer> receives;
  for (int i = 0; i < num_messages; ++i) {
    const int distance = 1 + i % (size - 1);
    sends.push_back({(group.rank() + distance) % size, out.data(), bytes});
    receives.push_back({(group.rank() + size - distance) % size,
                        in.data() + i * bytes, bytes});
  }
  RETURN_IF_ERROR(group.Barrier());
  std::vector<double> seconds;
  for (int i = 0; i <= repetitions; ++i) {
    const Deadline clock(absl::InfiniteDuration());
    for (int j = 0; j < kInARow; ++j) {
      RETURN_IF_ERROR(group.Exchange(sends, receives, "MeasureLinkCost"));
    }
    // The first row warms up, and waits for the others' barrier.
    if (i > 0) {
      seconds.push_back(absl::ToDoubleSeconds(clock.Elapsed()) / kInARow);
    }
  }
  std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2,
                   seconds.end());
  return seconds[seconds.size() / 2];
}

LinkCost Worse(const LinkCost& a, const LinkCost& b) {
  return {std::max(a.base, b.base), std::max(a.per_message, b.per_message),
          std::min(a.bytes_per_second, b.bytes_per_second)};
}

bool IsMeasured(const LinkCost& cost) {
  return std::isfinite(cost.bytes_per_second);
}

}  // namespace

absl::StatusOr<LinkCost> MeasureLinkCost(Communicator& group, int repetitions) {
  LinkCost cost;
  cost.bytes_per_second = std::numeric_limits<double>::infinity();
  const int peers = group.size() - 1;
  if (peers == 0) return cost;
  if (repetitions < 1) {
    return absl::InvalidArgumentError(
        "MeasureLinkCost: repetitions must be positive");
  }
  const int many = std::max(peers, kManyMessages);
  struct Seconds {
    double one, many, large;
  } mine;
  ASSIGN_OR_RETURN(mine.one, MedianSeconds(group, 1, kSmallBytes, repetitions));
  ASSIGN_OR_RETURN(mine.many,
                   MedianSeconds(group, many, kSmallBytes, repetitions));
  ASSIGN_OR_RETURN(mine.large,
                   MedianSeconds(group, peers, kLargeBytes, repetitions));
  std::vector<Seconds> ranks(group.size());
  RETURN_IF_ERROR(group.AllGather(&mine, sizeof(mine), ranks.data()));
  Seconds worst = ranks[0];
  for (const Seconds& r : ranks) {
    worst = {std::max(worst.one, r.one), std::max(worst.many, r.many),
             std::max(worst.large, r.large)};
  }
  // one = base + o, many = base + many * o; noise must make neither negative.
  const double per_message =
      std::clamp((worst.many - worst.one) / (many - 1), 0.0, worst.one);
  const double base = worst.one - per_message;
  cost.per_message = absl::Seconds(per_message);
  cost.base = absl::Seconds(base);
  const double transfer =
      std::max(worst.large - base - peers * per_message, 0.01 * worst.large);
  cost.bytes_per_second = peers * kLargeBytes / transfer;
  return cost;
}

absl::StatusOr<ExchangeCosts> MeasureExchangeCosts(Communicator& world,
                                                   const Topology& topology,
                                                   int repetitions) {
  if (topology.world_size() != world.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("MeasureExchangeCosts: the world has ", world.size(),
                     " ranks, the topology ", topology.world_size()));
  }
  const int rank = world.rank();
  ASSIGN_OR_RETURN(
      const std::unique_ptr<Communicator> node,
      world.Split(topology.node_of(rank), rank, "measure_in_node"));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<Communicator> across,
      world.Split(topology.local_rank_of(rank), rank, "measure_across"));
  ExchangeCosts mine;
  ASSIGN_OR_RETURN(mine.in_node, MeasureLinkCost(*node, repetitions));
  ASSIGN_OR_RETURN(mine.across, MeasureLinkCost(*across, repetitions));
  mine.copy_bytes_per_second = MeasureCopyBandwidth();

  std::vector<ExchangeCosts> ranks(world.size());
  RETURN_IF_ERROR(world.AllGather(&mine, sizeof(mine), ranks.data()));
  ExchangeCosts worst = ranks[0];
  for (const ExchangeCosts& r : ranks) {
    worst.in_node = Worse(worst.in_node, r.in_node);
    worst.across = Worse(worst.across, r.across);
    worst.copy_bytes_per_second =
        std::min(worst.copy_bytes_per_second, r.copy_bytes_per_second);
  }
  if (!IsMeasured(worst.in_node)) worst.in_node = worst.across;
  if (!IsMeasured(worst.across)) worst.across = worst.in_node;
  return worst;
}

double MeasureCopyBandwidth() {
  constexpr size_t kBytes = 4 << 20;
  const std::vector<std::byte> from(kBytes, std::byte{1});
  std::vector<std::byte> to(kBytes);
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 5; ++i) {
    const Deadline clock(absl::InfiniteDuration());
    std::memcpy(to.data(), from.data(), kBytes);
    best = std::min(best, absl::ToDoubleSeconds(clock.Elapsed()));
  }
  return 2.0 * kBytes / std::max(best, 1e-9);
}

}  // namespace moe

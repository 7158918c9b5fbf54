#include "engine/parallel/exchange_cost_measurement.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
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
// About; bounds how long it takes, and the memory for what comes.
constexpr int kMostPeers = 32;

// Exchanges that follow each other without a barrier: as ranks leave a barrier
// at different times, what comes after it cannot be timed one by one. A rank
// may be one exchange ahead of another, and then finds every second message
// there already: a row must be even.
constexpr int kSmallInARow = 6;
constexpr int kLargeInARow = 2;
// Rows that warm up: the first opens connections, and waits for the barrier.
constexpr int kWarmRows = 2;

// With whom this rank exchanges. Always mutual: messages in one direction alone
// wait for acknowledgements as those of no exchange of tokens do.
struct LinkPeers {
  std::vector<int> one;              // of them; or none
  std::vector<int> same_local_rank;  // on other nodes
  std::vector<int> all;
};

// Seconds that one exchange of `messages` with each of `peers` takes in a row
// of them; 0 without peers.
absl::StatusOr<double> MedianSeconds(HostCommunicator& group,
                                     const std::vector<int>& peers,
                                     int messages, size_t bytes, int in_a_row,
                                     int repetitions) {
  std::vector<std::byte> out(bytes), in(messages * peers.size() * bytes);
  std::vector<SendBuffer> sends;
  std::vector<ReceiveBuffer> receives;
  for (int i = 0; i < messages; ++i) {
    for (int peer : peers) {
      sends.push_back({peer, out.data(), bytes});
      receives.push_back({peer, in.data() + receives.size() * bytes, bytes});
    }
  }
  RETURN_IF_ERROR(group.Barrier());
  std::vector<double> seconds;
  for (int i = -kWarmRows; i < repetitions; ++i) {
    const Deadline clock(absl::InfiniteDuration());
    for (int j = 0; j < in_a_row; ++j) {
      RETURN_IF_ERROR(group.Exchange(sends, receives, "MeasureLinkCost"));
    }
    if (i >= 0) {
      seconds.push_back(absl::ToDoubleSeconds(clock.Elapsed()) / in_a_row);
    }
  }
  std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2,
                   seconds.end());
  return peers.empty() ? 0 : seconds[seconds.size() / 2];
}

// The worst of the group's ranks, equal on all.
absl::StatusOr<LinkCost> MeasureLinks(HostCommunicator& group,
                                      const LinkPeers& peers, int repetitions) {
  LinkCost cost;
  cost.bytes_per_second = std::numeric_limits<double>::infinity();
  const auto count = [](const std::vector<int>& ranks) {
    return static_cast<double>(ranks.size());
  };
  struct Numbers {
    double peers, same_local_rank;
  } numbers = {count(peers.all), count(peers.same_local_rank)};
  std::vector<Numbers> of_ranks(group.size());
  RETURN_IF_ERROR(group.AllGather(&numbers, sizeof(numbers), of_ranks.data()));
  for (const Numbers& r : of_ranks) {
    numbers = {std::max(numbers.peers, r.peers),
               std::max(numbers.same_local_rank, r.same_local_rank)};
  }
  if (numbers.peers == 0) return cost;
  if (repetitions < 1) {
    return absl::InvalidArgumentError(
        "MeasureLinkCost: repetitions must be positive");
  }
  const int messages = numbers.peers > 1 ? 1 : kManyMessages;
  struct Seconds {
    double one, many, large;
  } mine;
  ASSIGN_OR_RETURN(mine.many,
                   MedianSeconds(group, peers.all, messages, kSmallBytes,
                                 kSmallInARow, repetitions));
  ASSIGN_OR_RETURN(mine.one, MedianSeconds(group, peers.one, 1, kSmallBytes,
                                           kSmallInARow, repetitions));
  ASSIGN_OR_RETURN(mine.large,
                   MedianSeconds(group, peers.same_local_rank, 1, kLargeBytes,
                                 kLargeInARow, repetitions));
  std::vector<Seconds> ranks(group.size());
  RETURN_IF_ERROR(group.AllGather(&mine, sizeof(mine), ranks.data()));
  Seconds worst = ranks[0];
  for (const Seconds& r : ranks) {
    worst = {std::max(worst.one, r.one), std::max(worst.many, r.many),
             std::max(worst.large, r.large)};
  }
  // one = base + o, many = base + many * o; noise must make neither negative.
  const double many = numbers.peers * messages;
  const double per_message =
      std::clamp((worst.many - worst.one) / (many - 1), 0.0, worst.one);
  const double base = worst.one - per_message;
  cost.per_message = absl::Seconds(per_message);
  cost.base = absl::Seconds(base);
  const double transfer =
      std::max(worst.large - base - numbers.same_local_rank * per_message,
               0.01 * worst.large);
  cost.bytes_per_second = numbers.same_local_rank * kLargeBytes / transfer;
  return cost;
}

// Between two positions in a ring of `size`.
int RingDistance(int a, int b, int size) {
  const int distance = std::abs(a - b);
  return std::min(distance, size - distance);
}

LinkPeers PeersInNode(const Topology& topology, int rank) {
  LinkPeers peers;
  const int place = topology.local_rank_of(rank);
  const std::vector<int>& ranks = topology.ranks_on(topology.node_of(rank));
  for (int r : ranks) {
    const int other = topology.local_rank_of(r);
    if (other == (place ^ 1)) peers.one.push_back(r);
    // Of many ranks, as they lie in a ring, those next to this one.
    if (r != rank &&
        RingDistance(other, place, static_cast<int>(ranks.size())) <=
            kMostPeers / 2) {
      peers.all.push_back(r);
    }
  }
  peers.same_local_rank = peers.all;
  return peers;
}

LinkPeers PeersElsewhere(const Topology& topology, int rank) {
  const int num_nodes = topology.num_nodes();
  const int node = topology.node_of(rank), place = topology.local_rank_of(rank);
  size_t largest = 1;
  for (int n = 0; n < num_nodes; ++n) {
    largest = std::max(largest, topology.ranks_on(n).size());
  }
  // Of many nodes, as they lie in a ring, those next to this one.
  const int reach = std::max(1, kMostPeers / (2 * static_cast<int>(largest)));
  LinkPeers peers;
  for (int n = 0; n < num_nodes; ++n) {
    if (n == node || RingDistance(n, node, num_nodes) > reach) continue;
    for (int r : topology.ranks_on(n)) {
      peers.all.push_back(r);
      if (topology.local_rank_of(r) != place) continue;
      peers.same_local_rank.push_back(r);
      if (n == (node ^ 1)) peers.one.push_back(r);
    }
  }
  return peers;
}

bool IsMeasured(const LinkCost& cost) {
  return std::isfinite(cost.bytes_per_second);
}

}  // namespace

absl::StatusOr<LinkCost> MeasureLinkCost(HostCommunicator& group,
                                         int repetitions) {
  const int rank = group.rank(), size = group.size();
  LinkPeers peers;
  if ((rank ^ 1) < size) peers.one.push_back(rank ^ 1);
  for (int r = 0; r < size; ++r) {
    if (r != rank) peers.all.push_back(r);
  }
  peers.same_local_rank = peers.all;
  return MeasureLinks(group, peers, repetitions);
}

absl::StatusOr<ExchangeCosts> MeasureExchangeCosts(HostCommunicator& world,
                                                   const Topology& topology,
                                                   int repetitions) {
  const int size = world.size(), rank = world.rank();
  if (topology.world_size() != size) {
    return absl::InvalidArgumentError(
        absl::StrCat("MeasureExchangeCosts: the world has ", size,
                     " ranks, the topology ", topology.world_size()));
  }
  const LinkPeers near = PeersInNode(topology, rank);
  const LinkPeers far = PeersElsewhere(topology, rank);
  ExchangeCosts costs;
  ASSIGN_OR_RETURN(costs.in_node, MeasureLinks(world, near, repetitions));
  ASSIGN_OR_RETURN(costs.across, MeasureLinks(world, far, repetitions));
  const double copying = MeasureCopyBandwidth();
  std::vector<double> copying_of(size);
  RETURN_IF_ERROR(
      world.AllGather(&copying, sizeof(copying), copying_of.data()));
  costs.copy_bytes_per_second =
      *std::min_element(copying_of.begin(), copying_of.end());
  if (!IsMeasured(costs.in_node)) costs.in_node = costs.across;
  if (!IsMeasured(costs.across)) costs.across = costs.in_node;
  return costs;
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

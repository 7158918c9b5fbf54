#include "comm/exchange_cost_measurement.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "absl/time/time.h"
#include "comm/deadline.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr size_t kSmallBytes = 64;
constexpr size_t kLargeBytes = 256 << 10;

// Seconds that one exchange with the next `num_peers` ranks takes.
absl::StatusOr<double> MedianSeconds(Communicator& group, int num_peers,
                                     size_t bytes, int repetitions) {
  const int size = group.size();
  std::vector<std::byte> out(bytes), in(num_peers * bytes);
  std::vector<SendBuffer> sends;
  std::vector<ReceiveBuffer> receives;
  for (int i = 0; i < num_peers; ++i) {
    sends.push_back({(group.rank() + 1 + i) % size, out.data(), bytes});
    receives.push_back(
        {(group.rank() + size - 1 - i) % size, in.data() + i * bytes, bytes});
  }
  std::vector<double> seconds;
  for (int i = 0; i <= repetitions; ++i) {
    RETURN_IF_ERROR(group.Barrier());
    const Deadline clock(absl::InfiniteDuration());
    RETURN_IF_ERROR(group.Exchange(sends, receives, "MeasureLinkCost"));
    // The first one warms up.
    if (i > 0) seconds.push_back(absl::ToDoubleSeconds(clock.Elapsed()));
  }
  std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2,
                   seconds.end());
  return seconds[seconds.size() / 2];
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
  struct Seconds {
    double one, all, large;
  } mine;
  ASSIGN_OR_RETURN(mine.one, MedianSeconds(group, 1, kSmallBytes, repetitions));
  ASSIGN_OR_RETURN(mine.all,
                   MedianSeconds(group, peers, kSmallBytes, repetitions));
  ASSIGN_OR_RETURN(mine.large,
                   MedianSeconds(group, peers, kLargeBytes, repetitions));
  std::vector<Seconds> ranks(group.size());
  RETURN_IF_ERROR(group.AllGather(&mine, sizeof(mine), ranks.data()));
  Seconds worst = ranks[0];
  for (const Seconds& r : ranks) {
    worst = {std::max(worst.one, r.one), std::max(worst.all, r.all),
             std::max(worst.large, r.large)};
  }
  // one = base + o, all = base + peers * o; noise must not make o negative.
  double per_message =
      peers > 1 ? std::max(0.0, (worst.all - worst.one) / (peers - 1)) : 0.0;
  per_message = std::min(per_message, worst.one);
  cost.per_message = absl::Seconds(per_message);
  cost.base = absl::Seconds(worst.one - per_message);
  const double transfer = std::max(worst.large - worst.all, 0.01 * worst.large);
  cost.bytes_per_second = peers * kLargeBytes / transfer;
  return cost;
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

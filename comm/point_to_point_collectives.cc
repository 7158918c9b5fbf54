// The collectives of PointToPointCommunicator, over its BeginExchange.
#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "comm/point_to_point_communicator.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::Status PointToPointCommunicator::AllGather(const void* send, size_t bytes,
                                                 void* receive) {
  RETURN_IF_ERROR(status());
  RETURN_IF_ERROR(CheckMessage(rank(), send, bytes, "own", "AllGather"));
  RETURN_IF_ERROR(
      CheckMessage(rank(), receive, bytes, "all from", "AllGather"));
  std::byte* const rows = static_cast<std::byte*>(receive);
  if (bytes > 0 && rows + rank() * bytes != send) {
    std::memcpy(rows + rank() * bytes, send, bytes);
  }
  std::vector<SendBuffer> sends;
  std::vector<ReceiveBuffer> receives;
  // From the next rank on, or all ranks would send to rank 0 first.
  for (int i = 1; i < size(); ++i) {
    const int to = (rank() + i) % size();
    const int from = (rank() + size() - i) % size();
    sends.push_back({to, send, bytes});
    receives.push_back({from, rows + from * bytes, bytes});
  }
  return Exchange(sends, receives, "AllGather");
}

float* PointToPointCommunicator::Scratch(size_t count) {
  if (scratch_.size() < count) scratch_.resize(count);
  return scratch_.data();
}

void PointToPointCommunicator::SumInRankOrder(const float* own,
                                              const float* others,
                                              absl::Span<float> sum) const {
  const size_t count = sum.size();
  for (int r = 0; r < size(); ++r) {
    const float* const block =
        r == rank() ? own : others + (r - (r > rank())) * count;
    if (r == 0) {
      std::copy_n(block, count, sum.data());
    } else {
      for (size_t i = 0; i < count; ++i) sum[i] += block[i];
    }
  }
}

absl::Status PointToPointCommunicator::AllGatherSum(absl::Span<float> data) {
  const size_t count = data.size();
  float* const others = Scratch(size() * count);
  float* const sum = others + (size() - 1) * count;
  std::vector<SendBuffer> sends;
  std::vector<ReceiveBuffer> receives;
  for (int i = 1; i < size(); ++i) {
    const int to = (rank() + i) % size();
    const int from = (rank() + size() - i) % size();
    sends.push_back({to, data.data(), count * sizeof(float)});
    receives.push_back({from, others + (from - (from > rank())) * count,
                        count * sizeof(float)});
  }
  RETURN_IF_ERROR(Exchange(sends, receives, "AllReduce"));
  SumInRankOrder(data.data(), others, absl::MakeSpan(sum, count));
  std::copy_n(sum, count, data.data());
  return absl::OkStatus();
}

absl::Status PointToPointCommunicator::AllReduce(absl::Span<float> data) {
  RETURN_IF_ERROR(status());
  if (size() == 1 || data.empty()) return absl::OkStatus();
  // Between two ranks one round moves no more bytes than two.
  if (size() == 2 || data.size() * sizeof(float) <= kSmallBytes) {
    return AllGatherSum(data);
  }
  // Segment r is summed by rank r, then sent to all.
  const auto begin = [&](int r) { return data.size() * r / size(); };
  const auto count = [&](int r) { return begin(r + 1) - begin(r); };
  const size_t own = count(rank());
  float* const others = Scratch(size() * own);
  float* const sum = others + (size() - 1) * own;
  std::vector<SendBuffer> sends;
  std::vector<ReceiveBuffer> receives;
  for (int i = 1; i < size(); ++i) {
    const int to = (rank() + i) % size();
    const int from = (rank() + size() - i) % size();
    sends.push_back({to, data.data() + begin(to), count(to) * sizeof(float)});
    receives.push_back(
        {from, others + (from - (from > rank())) * own, own * sizeof(float)});
  }
  RETURN_IF_ERROR(Exchange(sends, receives, "AllReduce"));
  float* const segment = data.data() + begin(rank());
  SumInRankOrder(segment, others, absl::MakeSpan(sum, own));
  std::copy_n(sum, own, segment);

  sends.clear();
  receives.clear();
  for (int i = 1; i < size(); ++i) {
    const int to = (rank() + i) % size();
    const int from = (rank() + size() - i) % size();
    sends.push_back({to, segment, own * sizeof(float)});
    receives.push_back(
        {from, data.data() + begin(from), count(from) * sizeof(float)});
  }
  return Exchange(sends, receives, "AllReduce");
}

absl::Status PointToPointCommunicator::Broadcast(void* data, size_t bytes,
                                                 int root) {
  RETURN_IF_ERROR(status());
  RETURN_IF_ERROR(CheckMessage(root, data, bytes, "root", "Broadcast"));
  // Ranks are counted from the root; rank v > 0 receives from v without its
  // lowest set bit, then serves v + 2^k for all 2^k below that bit.
  const int virtual_rank = (rank() + size() - root) % size();
  int bit = 1;
  while (bit < size() && (virtual_rank & bit) == 0) bit <<= 1;
  const auto real = [&](int v) { return (v + root) % size(); };
  std::vector<ReceiveBuffer> receives;
  if (virtual_rank > 0) {
    receives.push_back({real(virtual_rank - bit), data, bytes});
  }
  // A message that one rank receives first, another sends second: both
  // exchanges have the same number.
  const uint64_t sequence = next_sequence_++;
  ASSIGN_OR_RETURN(std::unique_ptr<PendingOperation> from_parent,
                   BeginNumbered({}, receives, "Broadcast", sequence));
  RETURN_IF_ERROR(from_parent->Wait());
  std::vector<SendBuffer> sends;
  for (bit >>= 1; bit > 0; bit >>= 1) {
    if (virtual_rank + bit < size()) {
      sends.push_back({real(virtual_rank + bit), data, bytes});
    }
  }
  ASSIGN_OR_RETURN(std::unique_ptr<PendingOperation> to_children,
                   BeginNumbered(sends, {}, "Broadcast", sequence));
  return to_children->Wait();
}

absl::Status PointToPointCommunicator::Barrier() {
  RETURN_IF_ERROR(status());
  for (int distance = 1; distance < size(); distance <<= 1) {
    char sent = 0, received = 0;
    const SendBuffer send = {(rank() + distance) % size(), &sent, 1};
    const ReceiveBuffer receive = {(rank() + size() - distance) % size(),
                                   &received, 1};
    RETURN_IF_ERROR(Exchange({&send, 1}, {&receive, 1}, "Barrier"));
  }
  return absl::OkStatus();
}

}  // namespace moe

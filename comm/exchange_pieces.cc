#include "comm/exchange_pieces.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace moe {
namespace {

const std::byte* Advance(const void* data, size_t bytes) {
  return static_cast<const std::byte*>(data) + bytes;
}
std::byte* Advance(void* data, size_t bytes) {
  return static_cast<std::byte*>(data) + bytes;
}

template <typename Buffer>
std::vector<Buffer> Pieces(absl::Span<const Buffer> buffers, int rank,
                           size_t max_bytes) {
  std::vector<Buffer> pieces;
  pieces.reserve(buffers.size());
  for (const Buffer& buffer : buffers) {
    if (buffer.peer == rank) continue;
    for (size_t done = 0; done < buffer.bytes;) {
      const size_t bytes = std::min(max_bytes, buffer.bytes - done);
      pieces.push_back({buffer.peer, Advance(buffer.data, done), bytes});
      done += bytes;
    }
  }
  return pieces;
}

}  // namespace

absl::Status CopyToSelf(int rank, absl::Span<const SendBuffer> sends,
                        absl::Span<const ReceiveBuffer> receives,
                        const char* operation) {
  std::vector<SendBuffer> from;
  std::vector<ReceiveBuffer> to;
  for (const SendBuffer& send : sends) {
    if (send.peer == rank && send.bytes > 0) from.push_back(send);
  }
  for (const ReceiveBuffer& receive : receives) {
    if (receive.peer == rank && receive.bytes > 0) to.push_back(receive);
  }
  bool match = from.size() == to.size();
  for (size_t i = 0; match && i < from.size(); ++i) {
    match = from[i].bytes == to[i].bytes;
  }
  if (!match) {
    return absl::InvalidArgumentError(
        absl::StrCat(operation, ": rank ", rank, " sends itself ", from.size(),
                     " messages and receives ", to.size(),
                     " from itself; their number and sizes must agree"));
  }
  for (size_t i = 0; i < from.size(); ++i) {
    std::memcpy(to[i].data, from[i].data, from[i].bytes);
  }
  return absl::OkStatus();
}

std::vector<SendBuffer> SplitIntoPieces(absl::Span<const SendBuffer> sends,
                                        int rank, size_t max_bytes) {
  return Pieces(sends, rank, max_bytes);
}

std::vector<ReceiveBuffer> SplitIntoPieces(
    absl::Span<const ReceiveBuffer> receives, int rank, size_t max_bytes) {
  return Pieces(receives, rank, max_bytes);
}

}  // namespace moe

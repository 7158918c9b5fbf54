#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace moe {

// The CRC-32 of a message whose bytes are spread over several readers. The sum
// of a piece is that of the message with zeros for all other bytes; sums of
// pieces that do not overlap are combined by XOR, in any order, and
// Crc32OfPieces makes the message's CRC-32 of all of them. Not thread-safe.
class Crc32Pieces {
 public:
  // `size`: bytes of the whole message.
  explicit Crc32Pieces(uint64_t size) : size_(size) {}

  // Adds the bytes at `offset`; cheapest if offsets ascend in equal steps.
  void Add(uint64_t offset, absl::string_view bytes);

  // Of all pieces so far.
  uint32_t sum() const;
  uint64_t num_bytes() const { return num_bytes_; }

 private:
  const uint64_t size_;
  uint64_t num_bytes_ = 0;
  uint32_t closed_ = 0;  // pieces before the last descent of offsets
  uint32_t open_ = 0;    // those since, as if the message ended at end_
  uint64_t end_ = 0;
  uint64_t gap_ = 0;  // the last gap between two pieces, and its factor
  uint32_t gap_factor_ = 0;
};

// The CRC-32 of a message of `size` bytes from the combined sums of its pieces.
uint32_t Crc32OfPieces(uint32_t sum, uint64_t size);

}  // namespace moe

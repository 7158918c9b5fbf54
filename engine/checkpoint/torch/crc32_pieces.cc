#include "engine/checkpoint/torch/crc32_pieces.h"

#include "engine/checkpoint/torch/crc32.h"

namespace moe {
namespace {

// Polynomials over the field of two, modulo that of CRC-32, with the
// coefficient of x^0 in the highest bit.
constexpr uint32_t kOne = 0x80000000u;
constexpr uint32_t kX8 = kOne >> 8;
constexpr uint32_t kPolynomial = 0xedb88320u;

uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (; a != 0; a <<= 1) {
    if ((a & kOne) != 0) product ^= b;
    b = (b >> 1) ^ ((b & 1) != 0 ? kPolynomial : 0);  // times x
  }
  return product;
}

// The factor of `count` zero bytes after a message: x^(8 count).
uint32_t FactorOfZeros(uint64_t count) {
  uint32_t factor = kOne, square = kX8;
  for (; count != 0; count >>= 1) {
    if ((count & 1) != 0) factor = Multiply(factor, square);
    square = Multiply(square, square);
  }
  return factor;
}

}  // namespace

void Crc32Pieces::Add(uint64_t offset, absl::string_view bytes) {
  if (offset < end_) {
    closed_ = sum();
    open_ = 0;
    end_ = 0;
  }
  if (open_ != 0 && offset != end_) {
    if (offset - end_ != gap_) {
      gap_ = offset - end_;
      gap_factor_ = FactorOfZeros(gap_);
    }
    open_ = Multiply(open_, gap_factor_);
  }
  // A CRC without its initial and final inversion is linear.
  open_ = ~Crc32(bytes, ~open_);
  end_ = offset + bytes.size();
  num_bytes_ += bytes.size();
}

uint32_t Crc32Pieces::sum() const {
  return closed_ ^ Multiply(open_, FactorOfZeros(size_ - end_));
}

uint32_t Crc32OfPieces(uint32_t sum, uint64_t size) {
  return ~(sum ^ Multiply(~uint32_t{0}, FactorOfZeros(size)));
}

}  // namespace moe

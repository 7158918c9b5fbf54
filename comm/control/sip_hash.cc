#include "comm/control/sip_hash.h"

#include <cstddef>

namespace moe {
namespace {

// Of n <= 8 bytes, little-endian.
uint64_t Load(const char* data, size_t n) {
  uint64_t word = 0;
  for (size_t i = 0; i < n; ++i) {
    word |= uint64_t{static_cast<uint8_t>(data[i])} << (8 * i);
  }
  return word;
}

uint64_t Rotate(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

class State {
 public:
  State(uint64_t k0, uint64_t k1)
      : v0_(k0 ^ 0x736f6d6570736575),
        v1_(k1 ^ 0x646f72616e646f6d),
        v2_(k0 ^ 0x6c7967656e657261),
        v3_(k1 ^ 0x7465646279746573) {}

  void Absorb(uint64_t word) {
    v3_ ^= word;
    Rounds(2);
    v0_ ^= word;
  }

  uint64_t Finish() {
    v2_ ^= 0xff;
    Rounds(4);
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  void Rounds(int n) {
    for (int i = 0; i < n; ++i) {
      v0_ += v1_;
      v2_ += v3_;
      v1_ = Rotate(v1_, 13) ^ v0_;
      v3_ = Rotate(v3_, 16) ^ v2_;
      v0_ = Rotate(v0_, 32);
      v2_ += v1_;
      v0_ += v3_;
      v1_ = Rotate(v1_, 17) ^ v2_;
      v3_ = Rotate(v3_, 21) ^ v0_;
      v2_ = Rotate(v2_, 32);
    }
  }

  uint64_t v0_, v1_, v2_, v3_;
};

}  // namespace

uint64_t SipHash(const std::array<uint8_t, 16>& key, absl::string_view data) {
  const char* bytes = reinterpret_cast<const char*>(key.data());
  State state(Load(bytes, 8), Load(bytes + 8, 8));
  size_t at = 0;
  for (; at + 8 <= data.size(); at += 8) state.Absorb(Load(&data[at], 8));
  // The last word holds the rest and the length.
  state.Absorb(Load(data.data() + at, data.size() - at) | uint64_t{data.size()}
                                                              << 56);
  return state.Finish();
}

}  // namespace moe

#pragma once

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace moe {

// SipHash-2-4 of `data` under a secret key (Aumasson and Bernstein, 2012): who
// does not know the key cannot make the hash, nor learn the key from hashes.
uint64_t SipHash(const std::array<uint8_t, 16>& key, absl::string_view data);

}  // namespace moe

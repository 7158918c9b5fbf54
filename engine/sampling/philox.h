#pragma once

#include <array>
#include <cstdint>

namespace moe {

// Philox 4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw,
// "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): a bijection of the
// counter under a key, with no state to carry.
std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter,
                                   std::array<uint32_t, 2> key);

// The number in [0, 1), a multiple of 2^-53, that chooses token `token_index`
// of answer `answer_index` under `seed`. It depends on nothing else, such as
// the batch or earlier draws.
double TokenUniform(uint64_t seed, uint32_t answer_index, uint64_t token_index);

}  // namespace moe

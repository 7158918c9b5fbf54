#pragma once

#include <cstdint>
#include <vector>

#include "proto/moe/v1/generation.pb.h"

namespace moe {

// Most clients take messages of up to 4 MiB unless told otherwise.
inline constexpr int64_t kMaxChunkBytes = int64_t{4} << 20;

// Cuts a chunk into chunks of at most `max_bytes` (>= 64 KiB) each, in an order
// that keeps what readers rely on: request id and number of prompt tokens come
// first, then the prompt's tokens and text, then tokens, text and finish of the
// answer. Lists and texts continue from part to part; characters stay whole. A
// chunk that is short enough stays as it is.
std::vector<v1::GenerateChunk> SplitChunk(v1::GenerateChunk chunk,
                                          int64_t max_bytes);

}  // namespace moe

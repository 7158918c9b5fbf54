#pragma once

namespace moe {

// The order of the rows of a fused query-key-value matrix in a file, within one
// tensor-parallel shard. p in {0: q, 1: k, 2: v}, c = channel of the head.
enum class QkvLayout {
  kQKV,              // all q heads, all k heads, all v heads
  kHeadInterleaved,  // per key/value head: its q heads, then k, then v
  kVersion1,         // row = head * 3d + c * 3 + p
};

}  // namespace moe

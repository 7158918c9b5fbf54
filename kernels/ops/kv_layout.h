#pragma once

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "kernels/core/device.h"
#include "kernels/core/dtype.h"

namespace moe {

// What a layer's KV cache holds.
struct KvShape {
  int64_t num_blocks = 0;
  int64_t block_size = 0;  // tokens
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
};

// The tensors that hold it on a device, in the order in which that device's
// KvCacheAppend and PagedAttention write and read them; opaque to all others.
// The first dimension is that of blocks.
struct KvLayout {
  DType dtype = DType::kF32;
  std::array<int64_t, 4> key_dims = {};
  std::array<int64_t, 4> value_dims = {};

  // Of keys and values of one block.
  int64_t block_bytes() const;
};

// kUnimplemented for a device without a back end.
absl::StatusOr<KvLayout> KvLayoutOf(Device device, const KvShape& shape);

}  // namespace moe

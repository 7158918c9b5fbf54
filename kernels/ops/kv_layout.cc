#include "kernels/ops/kv_layout.h"

#include "kernels/core/dispatch.h"

namespace moe {

int64_t KvLayout::block_bytes() const {
  int64_t keys = 1, values = 1;
  for (size_t i = 1; i < key_dims.size(); ++i) keys *= key_dims[i];
  for (size_t i = 1; i < value_dims.size(); ++i) values *= value_dims[i];
  return (keys + values) * static_cast<int64_t>(SizeOf(dtype));
}

absl::StatusOr<KvLayout> KvLayoutOf(Device device, const KvShape& shape) {
  if (device.type != DeviceType::kCpu) return NoBackendFor("KvLayout", device);
  // Keys are channel-major, so that the scores of a block's tokens are computed
  // side by side in one vector.
  return KvLayout{.dtype = DType::kF32,
                  .key_dims = {shape.num_blocks, shape.kv_heads, shape.head_dim,
                               shape.block_size},
                  .value_dims = {shape.num_blocks, shape.kv_heads,
                                 shape.block_size, shape.head_dim}};
}

}  // namespace moe

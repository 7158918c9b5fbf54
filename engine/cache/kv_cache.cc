#include "engine/cache/kv_cache.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/dtype.h"

namespace moe {

absl::StatusOr<KvCache> KvCache::Create(DeviceBackend& backend,
                                        const ModelConfig& config,
                                        int64_t num_blocks,
                                        int64_t block_size) {
  if (num_blocks < 1 || block_size < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("KV cache: ", num_blocks, " blocks of ", block_size,
                     " tokens; both must be at least 1"));
  }
  KvCache cache;
  cache.num_blocks_ = num_blocks;
  cache.block_size_ = block_size;
  for (const LayerConfig& layer : config.layers) {
    const AttentionConfig& attention = layer.attention;
    const int64_t key_dims[] = {num_blocks, attention.num_kv_heads,
                                attention.head_dim, block_size};
    const int64_t value_dims[] = {num_blocks, attention.num_kv_heads,
                                  block_size, attention.head_dim};
    for (std::vector<Tensor>* tensors : {&cache.keys_, &cache.values_}) {
      // Blocks are written before they are read, one after the other: most of a
      // large cache may never be needed.
      absl::StatusOr<Tensor> tensor = Tensor::AllocateUntouched(
          backend, DType::kF32,
          tensors == &cache.keys_ ? key_dims : value_dims);
      if (!tensor.ok()) {
        return absl::Status(
            tensor.status().code(),
            absl::StrCat("KV cache of ", num_blocks, " blocks of ",
                         BlockBytes(config, block_size),
                         " bytes: ", tensor.status().message()));
      }
      tensors->push_back(*std::move(tensor));
    }
  }
  return cache;
}

int64_t KvCache::BlockBytes(const ModelConfig& config, int64_t block_size) {
  int64_t channels = 0;
  for (const LayerConfig& layer : config.layers) {
    channels += 2 * layer.attention.kv_rows();
  }
  return channels * block_size * static_cast<int64_t>(SizeOf(DType::kF32));
}

}  // namespace moe

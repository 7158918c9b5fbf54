#include "engine/cache/kv_cache.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/kv_layout.h"

namespace moe {
namespace {

KvShape ShapeOf(const AttentionConfig& attention, int64_t num_blocks,
                int64_t block_size) {
  return {.num_blocks = num_blocks,
          .block_size = block_size,
          .kv_heads = attention.num_kv_heads,
          .head_dim = attention.head_dim};
}

}  // namespace

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
    ASSIGN_OR_RETURN(
        const KvLayout layout,
        KvLayoutOf(backend.device(),
                   ShapeOf(layer.attention, num_blocks, block_size)));
    for (std::vector<Tensor>* tensors : {&cache.keys_, &cache.values_}) {
      // Not zeroed: blocks are written before they are read, and pages of a
      // large cache that is never filled are never touched.
      absl::StatusOr<Tensor> tensor = Tensor::AllocateUntouched(
          backend, layout.dtype,
          tensors == &cache.keys_ ? layout.key_dims : layout.value_dims);
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
  int64_t bytes = 0;
  for (const LayerConfig& layer : config.layers) {
    bytes += KvLayoutOf(Device{}, ShapeOf(layer.attention, 1, block_size))
                 ->block_bytes();
  }
  return bytes;
}

}  // namespace moe

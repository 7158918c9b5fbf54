#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/config/model_config.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/tensor.h"

namespace moe {

// The memory of the keys and values of all layers, in blocks of `block_size`
// tokens. BlockManager assigns blocks to sequences. Not thread-safe.
class KvCache {
 public:
  // `config` has this rank's key/value heads (RankShard::LocalConfig).
  // kResourceExhausted if memory is short.
  static absl::StatusOr<KvCache> Create(DeviceBackend& backend,
                                        const ModelConfig& config,
                                        int64_t num_blocks, int64_t block_size);

  // Bytes of one block over all layers, keys and values, on a CPU.
  static int64_t BlockBytes(const ModelConfig& config, int64_t block_size);

  int64_t num_blocks() const { return num_blocks_; }
  int64_t block_size() const { return block_size_; }

  // [num_blocks, ...] each, in the layout of the device's kernels (KvLayout).
  const TensorView& keys(int64_t layer) const { return keys_[layer].view(); }
  const TensorView& values(int64_t layer) const {
    return values_[layer].view();
  }

 private:
  int64_t num_blocks_ = 0;
  int64_t block_size_ = 0;
  std::vector<Tensor> keys_;
  std::vector<Tensor> values_;
};

}  // namespace moe

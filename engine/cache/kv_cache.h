#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/config/model_config.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/tensor.h"

namespace moe {

// Keys and values of all layers in blocks of `block_size` tokens. Which block
// belongs to whom is BlockManager's affair. Not thread-safe.
class KvCache {
 public:
  // `config` has the key/value heads that this rank holds
  // (RankShard::LocalConfig). kResourceExhausted if the memory is not there.
  static absl::StatusOr<KvCache> Create(DeviceBackend& backend,
                                        const ModelConfig& config,
                                        int64_t num_blocks, int64_t block_size);

  // Bytes of one block over all layers, keys and values, on a CPU.
  static int64_t BlockBytes(const ModelConfig& config, int64_t block_size);

  int64_t num_blocks() const { return num_blocks_; }
  int64_t block_size() const { return block_size_; }

  // [num_blocks, ...] each, as the device's kernels read them (KvLayout).
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

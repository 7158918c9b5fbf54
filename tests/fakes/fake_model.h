#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>

#include "absl/status/status.h"
#include "engine/config/index_range.h"
#include "engine/models/model.h"
#include "kernels/core/device_backend.h"
#include "tests/support/test_device.h"

namespace moe {

// A model whose logits are a hash of all tokens up to the row. Each step writes
// its tokens to the KV cache. The model reads them back and fails if the
// sequence's blocks have other contents: useful for catching a scheduler that
// shares, frees or overwrites a block too early, and for comparing answers bit
// for bit with no kernels involved.
//
// Hooks let a test block, fail or observe a step, and corrupt one row's logits.
class FakeModel : public Model {
 public:
  struct Hooks {
    // Called at the start of each step; an error is the step's.
    std::function<absl::Status(const Batch&)> before_step;
    // Rows of this token get NaN logits.
    std::optional<int32_t> poisoned_token;
    // Called when the model is destroyed.
    std::function<void()> on_destroy;
    // The vocabulary entries of this tensor rank; empty: all.
    IndexRange vocab;
    // Experts of the only layer, of which token t chooses t % num_experts; 0: a
    // dense layer.
    int64_t num_experts = 0;
  };

  explicit FakeModel(int64_t vocab_size = 97, int64_t max_positions = 256);
  FakeModel(int64_t vocab_size, int64_t max_positions, Hooks hooks);
  ~FakeModel() override;

  const ModelConfig& config() const override { return config_; }
  DeviceBackend& backend() const override { return backend_; }
  absl::Status Forward(const Batch& batch, KvCache& cache,
                       const TensorView& logits, RoutingTrace* trace) override;
  int64_t weight_bytes() const override { return 0; }
  const ExpertLoad& expert_load() const override { return expert_load_; }

  // The logits after `tokens`, as Forward computes them. [vocab]
  std::vector<float> Logits(const std::vector<int32_t>& tokens) const;

 private:
  absl::Status CheckBatch(const Batch& batch, const KvCache& cache) const;

  DeviceBackend& backend_ = TestBackend();
  ModelConfig config_;
  Hooks hooks_;
  ExpertLoad expert_load_;
};

}  // namespace moe

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/config/uniform_model_config.h"

namespace moe {

// A checkpoint in memory whose weights are pseudo-random, for any
// configuration. Useful for tests that need no trained weights, for damaging
// single tensors, and for benchmarks of arbitrary shapes.
class RandomCheckpoint : public Checkpoint {
 public:
  explicit RandomCheckpoint(const ModelConfig& config,
                            DType dtype = DType::kF32, uint32_t seed = 1);

  const ModelConfig& config() const override { return config_; }
  absl::StatusOr<HostWeight> Get(absl::string_view name) const override;
  absl::StatusOr<HostWeight> GetShard(absl::string_view name,
                                      const WeightSlice& slice) const override;
  bool Has(absl::string_view name) const override;
  const std::vector<std::string>& warnings() const override {
    return warnings_;
  }
  std::string Description() const override { return "random weights"; }

  // Lets `damage` change what Get returns for `name`.
  void Damage(const std::string& name,
              std::function<void(HostWeight&)> damage) {
    damages_[name] = std::move(damage);
  }
  void Remove(const std::string& name) { dims_.erase(name); }

 private:
  const ModelConfig config_;
  const DType dtype_;
  const uint32_t seed_;
  std::map<std::string, std::vector<int64_t>> dims_;
  std::map<std::string, std::function<void(HostWeight&)>> damages_;
  std::vector<std::string> warnings_;
};

// A small PR-MoE: 4 layers of 48 channels, experts 3 and 5, residual B2.
UniformModelConfig SmallPrMoeConfig();

}  // namespace moe

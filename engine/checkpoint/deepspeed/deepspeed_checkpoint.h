#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/deepspeed/weight_merge.h"
#include "engine/checkpoint/tensor_file.h"

namespace moe {

// The contents of the files of a checkpoint.
struct DeepSpeedContents {
  ModelConfig config;
  FusedRows fused;
  std::vector<std::unique_ptr<TensorFile>> files;
  // By canonical name; the parts point into `files`.
  absl::flat_hash_map<std::string, WeightSource> weights;
  std::vector<std::string> warnings;
  std::string description;
};

// A DeepSpeed checkpoint of a Megatron-DeepSpeed GPT, of any tensor and expert
// degree.
class DeepSpeedCheckpoint : public Checkpoint {
 public:
  explicit DeepSpeedCheckpoint(DeepSpeedContents contents)
      : contents_(std::move(contents)) {}

  const ModelConfig& config() const override { return contents_.config; }
  absl::StatusOr<HostWeight> Get(absl::string_view name) const override;
  absl::StatusOr<HostWeight> GetShard(absl::string_view name,
                                      const WeightSlice& slice) const override;
  bool Has(absl::string_view name) const override;
  std::string FilesOf(absl::string_view name) const override;
  int64_t bytes_read() const override;
  std::vector<PartialChecksum> TakePartialChecksums() const override;
  absl::Status CheckPartialChecksums(absl::Span<const PartialChecksum> merged,
                                     int rank, int num_ranks) const override;
  const std::vector<std::string>& warnings() const override {
    return contents_.warnings;
  }
  std::string Description() const override { return contents_.description; }

 private:
  absl::StatusOr<HostWeight> Read(absl::string_view name,
                                  const WeightSlice& slice) const;

  DeepSpeedContents contents_;
  // Weights that are included in the partial checksums already: a slice that is
  // read twice (tied embedding and output) counts once.
  mutable std::mutex mutex_;
  mutable absl::flat_hash_set<std::string> summed_;
};

}  // namespace moe

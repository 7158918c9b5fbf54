#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/deepspeed/deepspeed_directory.h"
#include "engine/checkpoint/deepspeed/weight_merge.h"
#include "engine/checkpoint/torch/torch_file.h"

namespace moe {

// The tensors of all files of a checkpoint, by canonical name.
struct DeepSpeedTensors {
  std::vector<std::unique_ptr<TorchFile>> files;  // mp_rank files first
  // Weights outside of experts, by tensor rank. [tensor degree]
  std::vector<std::map<std::string, WeightPart>> dense;
  // Experts' weights, by the tensor rank in the file's name.
  std::map<std::string, std::map<int64_t, WeightPart>> experts;
  std::set<std::pair<int64_t, int64_t>> expert_ids;  // {layer, expert}
  bool has_local_moe = false;                        // keys below `mlp.moe.`
  std::vector<std::string> warnings;
};

// Opens every file of the directory and reads its keys. kDataLoss for a
// duplicate tensor or an expert in another expert's file; kInvalidArgument for
// weights of the embedding or the layers that this decoder does not support.
absl::StatusOr<DeepSpeedTensors> OpenDeepSpeedFiles(
    const DeepSpeedDirectory& directory);

}  // namespace moe

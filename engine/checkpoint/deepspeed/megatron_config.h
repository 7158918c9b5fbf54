#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/checkpoint_options.h"
#include "engine/checkpoint/deepspeed/megatron_arguments.h"
#include "engine/checkpoint/torch/pickle_value.h"
#include "engine/config/model_config.h"

namespace moe {

// What is known of a Megatron-DeepSpeed model before its configuration is: the
// object of the file of tensor rank 0 and the shapes of the weights in it.
struct MegatronModel {
  const PickleValue* root = nullptr;
  std::string source;  // path of that file
  // By canonical name, as this tensor rank has them.
  std::map<std::string, std::vector<int64_t>> dims;
  int64_t tensor_degree = 1;
  bool has_local_moe = false;  // MoE below `mlp.moe.`: residual variant A
};

// Puts the configuration together from the saved arguments, the shapes and the
// overrides of `options`, filling gaps in old files with Megatron's defaults of
// their time. Adds to `warnings` what a person should know. Status codes as of
// OpenCheckpoint.
absl::StatusOr<ModelConfig> ReadMegatronConfig(
    const MegatronModel& model, const CheckpointOptions& options,
    std::vector<std::string>* warnings);

// The order of fused QKV rows, by the override, else by the version and age of
// the writer.
absl::StatusOr<QkvLayout> ChooseQkvLayout(const MegatronModel& model,
                                          const MegatronOptions& options,
                                          std::vector<std::string>* warnings);

}  // namespace moe

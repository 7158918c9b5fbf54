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

// The inputs of ReadMegatronConfig: the saved object of tensor rank 0 and the
// shapes of its weights.
struct MegatronModel {
  const PickleValue* root = nullptr;
  std::string source;  // path of that file
  // By canonical name, with the shapes of this tensor rank.
  std::map<std::string, std::vector<int64_t>> dims;
  int64_t tensor_degree = 1;
  bool has_local_moe = false;  // MoE below `mlp.moe.`: residual variant A
};

// Builds the configuration from the saved arguments, the shapes and the
// overrides of `options`. For arguments that old files lack it uses Megatron's
// defaults of their time. Appends to `warnings`. Returns the status codes of
// OpenCheckpoint.
absl::StatusOr<ModelConfig> ReadMegatronConfig(
    const MegatronModel& model, const CheckpointOptions& options,
    std::vector<std::string>* warnings);

// The order of fused QKV rows: the override, else by version and age of the
// writer.
absl::StatusOr<QkvLayout> ChooseQkvLayout(const MegatronModel& model,
                                          const MegatronOptions& options,
                                          std::vector<std::string>* warnings);

}  // namespace moe

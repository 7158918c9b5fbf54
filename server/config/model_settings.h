#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/checkpoint_options.h"
#include "kernels/core/dtype.h"
#include "proto/config.pb.h"
#include "server/config/config_section.h"

namespace moe {

// The values of moe.config.Model, validated, with defaults filled in. Plain
// data.
struct ModelSettings {
  std::string name;
  std::string checkpoint_path;
  CheckpointOptions checkpoint;
  DType weight_dtype = DType::kBf16;
  std::string tokenizer_path;  // "": the model serves token ids only
  // Unset: the tokenizer's.
  std::optional<std::vector<int32_t>> eos_token_ids;
};

// `section`: of `proto`. kInvalidArgument that names line and field.
absl::StatusOr<ModelSettings> ReadModelSettings(const config::Model& proto,
                                                const ConfigSection& section);

}  // namespace moe

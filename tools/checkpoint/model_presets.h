#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/config/uniform_model_config.h"

namespace moe {

// The shape of a preset: those of the DeepSpeed-MoE paper ("350m_moe_128",
// "1.3b_prmoe_64_128", ...) and small ones for tests. kInvalidArgument with the
// list of names for an unknown name.
absl::StatusOr<UniformModelConfig> FindModelPreset(absl::string_view name);
std::vector<std::string> ModelPresetNames();

// Sets the experts of a model whose every second layer is a MoE layer:
// `experts` has one number for each of them, or one for all; empty for a dense
// model. kInvalidArgument if the count does not fit.
absl::Status SetExperts(absl::Span<const int64_t> experts,
                        UniformModelConfig* config);

// Rows of an embedding for `vocab_size` entries: the next multiple of 128.
int64_t PadVocabulary(int64_t vocab_size);

}  // namespace moe

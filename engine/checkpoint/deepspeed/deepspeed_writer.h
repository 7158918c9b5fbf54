#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/config/model_config.h"
#include "kernels/core/dtype.h"

namespace moe {

// Returns row `row` of the weight with that canonical name (checkpoint.h); a
// vector is one row.
using WeightRowSource = absl::FunctionRef<void(
    const std::string& name, int64_t row, absl::Span<float> values)>;

struct DeepSpeedWriterOptions {
  DType dtype = DType::kF16;  // f16, bf16 or f32; also of the gate
  std::string tag = "global_step0";
};

// Writes a checkpoint of `config` below `directory` (made if it is missing) as
// DeepSpeed and Megatron-DeepSpeed of 2024 would at tensor degree 1: nested
// keys, QKV rows interleaved per head, a file for each expert, no optimizer.
// torch.load reads the files. MoE layers must be every n-th layer, as
// Megatron's arguments cannot say otherwise. Streams: needs memory for one row.
// `latest` is written last, so that what an interrupted call leaves is no
// checkpoint. kInvalidArgument for a configuration that such files cannot hold;
// kResourceExhausted if the disk has too little room, before anything is
// written.
absl::Status WriteDeepSpeedCheckpoint(
    const std::string& directory, const ModelConfig& config,
    WeightRowSource source, const DeepSpeedWriterOptions& options = {});

}  // namespace moe

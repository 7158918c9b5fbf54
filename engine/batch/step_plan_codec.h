#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/batch/step_plan.h"

namespace moe {

// The limits of every plan of an engine; equal on all ranks.
struct StepPlanLimits {
  int32_t data_degree = 1;
  int64_t max_rows = 512;  // of a rank batch
  int64_t max_positions = 0;
  int64_t vocab_size = 0;
  int64_t num_blocks = 0;  // of each data rank's KV cache
  int64_t block_size = 16;
};

// The largest encoded size of a plan within the limits.
size_t MaxPlanBytes(const StepPlanLimits& limits);

// Appends the plan to `bytes` in the form of messages between ranks: a version,
// a checksum, and the plan's numbers as varints, without those that can be
// derived (positions, first rows, rows_on_data_ranks). A sequence in decode
// takes about a dozen bytes and one for each KV block. The plan must be within
// the limits.
void EncodeStepPlan(const StepPlan& plan, std::vector<uint8_t>* bytes);

// kInvalidArgument, with data rank, sequence and numbers, for anything except
// the result of EncodeStepPlan for a plan within the limits. Accepts `bytes` of
// any size and content.
absl::StatusOr<StepPlan> DecodeStepPlan(absl::Span<const uint8_t> bytes,
                                        const StepPlanLimits& limits);

}  // namespace moe

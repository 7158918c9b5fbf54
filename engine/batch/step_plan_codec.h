#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/batch/step_plan.h"

namespace moe {

// What every plan of an engine keeps to; equal on all ranks.
struct StepPlanLimits {
  int32_t data_degree = 1;
  int64_t max_rows = 512;  // of a share
  int64_t max_positions = 0;
  int64_t vocab_size = 0;
  int64_t num_blocks = 0;  // of each data rank's KV cache
  int64_t block_size = 16;
};

// No plan within the limits is larger.
size_t MaxPlanBytes(const StepPlanLimits& limits);

// Appends the plan to `bytes`, as messages between ranks carry it: a version, a
// checksum, and the plan's numbers in 7-bit groups, without those that follow
// from others (positions, first rows, rows_on_data_ranks). A decoding sequence
// takes a dozen bytes and one for each KV block. The plan must be within the
// limits.
void EncodeStepPlan(const StepPlan& plan, std::vector<uint8_t>* bytes);

// kInvalidArgument, naming share, sequence and numbers, for anything that
// EncodeStepPlan would not make of a plan within the limits; then `bytes` may
// be of any size and content.
absl::StatusOr<StepPlan> DecodeStepPlan(absl::Span<const uint8_t> bytes,
                                        const StepPlanLimits& limits);

}  // namespace moe

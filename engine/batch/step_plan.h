#pragma once

#include <cstdint>
#include <vector>

#include "engine/batch/batch.h"

namespace moe {

// The next step of all ranks. Rank 0 creates it and sends it to every rank.
struct StepPlan {
  enum class Kind : uint8_t {
    kStep = 0,
    kIdle = 1,      // keep-alive of rank 0: no step
    kShutdown = 2,  // the last plan
  };
  Kind kind = Kind::kStep;
  int64_t step_id = 0;
  // One batch for each data rank, by data rank; empty unless kStep.
  std::vector<Batch> rank_batches;

  int64_t num_rows() const;
  int64_t num_logit_rows() const;
};

inline int64_t StepPlan::num_rows() const {
  int64_t rows = 0;
  for (const Batch& rank_batch : rank_batches) rows += rank_batch.num_rows();
  return rows;
}

inline int64_t StepPlan::num_logit_rows() const {
  int64_t rows = 0;
  for (const Batch& rank_batch : rank_batches) {
    rows += static_cast<int64_t>(rank_batch.logit_rows.size());
  }
  return rows;
}

}  // namespace moe

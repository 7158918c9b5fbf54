#pragma once

#include <cstdint>
#include <vector>

#include "engine/batch/batch.h"

namespace moe {

// What all ranks do next: rank 0 decides it, every rank gets it.
struct StepPlan {
  enum class Kind : uint8_t {
    kStep = 0,
    kIdle = 1,      // nothing: rank 0 is alive
    kShutdown = 2,  // no plan will follow
  };
  Kind kind = Kind::kStep;
  int64_t step_id = 0;
  // One for each data rank, in their order; empty unless kStep.
  std::vector<Batch> shares;

  int64_t num_rows() const;
  int64_t num_logit_rows() const;
};

inline int64_t StepPlan::num_rows() const {
  int64_t rows = 0;
  for (const Batch& share : shares) rows += share.num_rows();
  return rows;
}

inline int64_t StepPlan::num_logit_rows() const {
  int64_t rows = 0;
  for (const Batch& share : shares) {
    rows += static_cast<int64_t>(share.logit_rows.size());
  }
  return rows;
}

}  // namespace moe

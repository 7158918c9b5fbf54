#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "engine/layers/linear_weights.h"
#include "engine/layers/norm.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// The last norm and the projection to logits, for the rows that are asked for
// only. Immutable, so thread-safe.
class OutputHead {
 public:
  // weight [vocab, hidden]: of the entries of the vocabulary that this rank
  // computes, without the rows that pad it.
  OutputHead(Norm norm, LinearWeights weight)
      : norm_(std::move(norm)), weight_(std::move(weight)) {}

  // logits[i, :] = norm(hidden[rows[i], :]) W^T. rows [rows] i32, hidden [any,
  // hidden], logits [rows, vocab], scratch [>= rows, hidden] f32 and apart.
  absl::Status Forward(const TensorView& hidden, const TensorView& rows,
                       const TensorView& scratch, const TensorView& logits,
                       Stream& stream) const;

 private:
  Norm norm_;
  LinearWeights weight_;
};

}  // namespace moe

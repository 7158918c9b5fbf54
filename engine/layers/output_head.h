#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "engine/layers/linear_weights.h"
#include "engine/layers/norm.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// The final norm and the projection to logits, for the requested rows only.
// Immutable, so thread-safe.
class OutputHead {
 public:
  // weight [vocab, hidden]: this rank's entries of the vocabulary, without
  // padding.
  OutputHead(Norm norm, LinearWeights weight)
      : norm_(std::move(norm)), weight_(std::move(weight)) {}

  // logits[i, :] = norm(hidden[rows[i], :]) W^T. rows [rows] i32, hidden [any,
  // hidden], logits [rows, vocab], scratch [>= rows, hidden] f32, no alias of
  // the others.
  absl::Status Forward(const TensorView& hidden, const TensorView& rows,
                       const TensorView& scratch, const TensorView& logits,
                       Stream& stream) const;

 private:
  Norm norm_;
  LinearWeights weight_;
};

}  // namespace moe

#include "engine/layers/token_embedding.h"

#include "kernels/ops/embedding.h"

namespace moe {

absl::Status TokenEmbedding::Forward(const TensorView& token_ids,
                                     const TensorView& positions,
                                     const TensorView& y,
                                     Stream& stream) const {
  return Embedding({.token_ids = token_ids,
                    .positions = positions,
                    .table = table_.view(),
                    .position_table = position_table_.view(),
                    .first_token = static_cast<int32_t>(
                        part_.has_value() ? part_->begin : 0),
                    .partial = part_.has_value(),
                    .y = y},
                   stream);
}

}  // namespace moe

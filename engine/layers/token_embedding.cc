#include "engine/layers/token_embedding.h"

#include "kernels/ops/embedding.h"

namespace moe {

absl::Status TokenEmbedding::Forward(absl::Span<const int32_t> token_ids,
                                     absl::Span<const int32_t> positions,
                                     const TensorView& y,
                                     Stream& stream) const {
  return Embedding(
      {token_ids, positions, table_.view(), position_table_.view(), y}, stream);
}

}  // namespace moe

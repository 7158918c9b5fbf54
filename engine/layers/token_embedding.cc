#include "engine/layers/token_embedding.h"

#include <algorithm>
#include <vector>

#include "kernels/core/status_macros.h"
#include "kernels/ops/embedding.h"

namespace moe {

absl::Status TokenEmbedding::Forward(absl::Span<const int32_t> token_ids,
                                     absl::Span<const int32_t> positions,
                                     const TensorView& y,
                                     Stream& stream) const {
  if (!part_.has_value()) {
    return Embedding(
        {token_ids, positions, table_.view(), position_table_.view(), y},
        stream);
  }
  // Other ranks' tokens read any row, which is then overwritten.
  std::vector<int32_t> local_ids(token_ids.size());
  for (size_t r = 0; r < token_ids.size(); ++r) {
    if (!part_->contains(token_ids[r])) continue;
    local_ids[r] = token_ids[r] - static_cast<int32_t>(part_->begin);
  }
  RETURN_IF_ERROR(Embedding(
      {local_ids, positions, table_.view(), position_table_.view(), y},
      stream));
  for (size_t r = 0; r < token_ids.size(); ++r) {
    if (part_->contains(token_ids[r])) continue;
    std::fill_n(y.ptr<float>() + static_cast<int64_t>(r) * y.strides[0],
                y.dims[1], 0.0f);
  }
  return absl::OkStatus();
}

}  // namespace moe

#include "engine/sampling/token_id_check.h"

#include "absl/strings/str_cat.h"

namespace moe {

absl::Status CheckTokenIds(absl::string_view field,
                           const std::vector<int32_t>& ids,
                           int64_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, "[", i, "] is ", ids[i],
                       "; the model's token ids are in [0, ", vocab_size, ")"));
    }
  }
  return absl::OkStatus();
}

}  // namespace moe

#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace moe {

// kInvalidArgument that names the field, the index and the range if any of
// `ids` is not in [0, vocab_size).
absl::Status CheckTokenIds(absl::string_view field,
                           const std::vector<int32_t>& ids, int64_t vocab_size);

}  // namespace moe

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/checkpoint_options.h"

namespace moe {

// "head_interleaved", "q_k_v", "version_0" (equal to q_k_v) or "version_1";
// kInvalidArgument for another name.
absl::StatusOr<QkvLayout> ParseQkvLayout(absl::string_view name);
absl::string_view QkvLayoutName(QkvLayout layout);

// Where each row of a shard with `heads` query and `kv_heads` key heads goes in
// the canonical matrix - all query, then all key, then all value rows - of a
// model with `ranks` such shards, for shard `rank`.
// [(heads + 2 kv_heads) * head_dim]
std::vector<int64_t> QkvTargetRows(QkvLayout layout, int64_t heads,
                                   int64_t kv_heads, int64_t head_dim,
                                   int64_t rank, int64_t ranks);

}  // namespace moe

#include "engine/checkpoint/deepspeed_checkpoint.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace moe {

absl::StatusOr<HostWeight> DeepSpeedCheckpoint::Get(
    absl::string_view name) const {
  const auto found = contents_.weights.find(name);
  if (found == contents_.weights.end()) {
    return absl::NotFoundError(absl::StrCat("no weight ", name, " in the ",
                                            contents_.config.family,
                                            " model: ", contents_.description));
  }
  return ReadWeight(found->second, contents_.fused, found->first);
}

bool DeepSpeedCheckpoint::Has(absl::string_view name) const {
  return contents_.weights.contains(name);
}

}  // namespace moe

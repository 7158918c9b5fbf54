#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/torch/pickle_value.h"

namespace moe {

struct NamedTensor {
  std::string key;
  const PickleValue* tensor = nullptr;  // a kTensor
};

// All tensors of a module's state, whether its dicts are nested (Megatron) or
// flat (DeepSpeed's own); the keys on the way down are joined with dots. Other
// values are skipped. kDataLoss, naming `source`, if it is not a dict or nests
// deeper, or has more entries, than any model does.
absl::StatusOr<std::vector<NamedTensor>> FlattenStateDict(
    const PickleValue& state, const std::string& source);

}  // namespace moe

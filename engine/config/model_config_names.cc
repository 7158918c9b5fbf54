#include "engine/config/model_config_names.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace moe {

const char* ActivationName(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::kGeluTanh:
      return "gelu_tanh";
    case ActivationKind::kGeluErf:
      return "gelu_erf";
    case ActivationKind::kSquaredRelu:
      return "squared_relu";
    case ActivationKind::kSwiGlu:
      return "swiglu";
  }
  return "?";
}

const char* ResidualMoeName(ResidualMoeKind kind) {
  switch (kind) {
    case ResidualMoeKind::kNone:
      return "none";
    case ResidualMoeKind::kA:
      return "a";
    case ResidualMoeKind::kB1:
      return "b1";
    case ResidualMoeKind::kB2:
      return "b2";
  }
  return "?";
}

std::string PerLayerText(
    const ModelConfig& config,
    absl::FunctionRef<int64_t(const LayerConfig&)> number) {
  std::vector<int64_t> numbers;
  for (const LayerConfig& layer : config.layers) {
    numbers.push_back(number(layer));
  }
  const bool alike = std::adjacent_find(numbers.begin(), numbers.end(),
                                        std::not_equal_to<>()) == numbers.end();
  if (alike && !numbers.empty()) return absl::StrCat(numbers[0]);
  return absl::StrJoin(numbers, ",");
}

}  // namespace moe

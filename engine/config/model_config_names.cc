#include "engine/config/model_config_names.h"

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

}  // namespace moe

#include "kernels/core/cpu_features.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/core/cpu_features.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace moe::HWY_NAMESPACE {
namespace {

int64_t ThisTarget() { return HWY_TARGET; }

}  // namespace
}  // namespace moe::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace moe {
namespace {

HWY_EXPORT(ThisTarget);

std::string LowerCaseName(int64_t target) {
  return absl::AsciiStrToLower(hwy::TargetName(target));
}

// The targets compiled and supported, ignoring SetIsa; better ones have lower
// bits. Highway has no query that ignores its override, so this is the first
// answer, taken before SetIsa can change it.
int64_t MachineTargets() {
  static const int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
  return targets;
}

std::vector<int64_t> TargetList() {
  std::vector<int64_t> list;
  for (int64_t rest = MachineTargets(); rest != 0; rest &= rest - 1) {
    list.push_back(rest & -rest);
  }
  return list;
}

}  // namespace

std::vector<std::string> SupportedIsas() {
  std::vector<std::string> names;
  for (int64_t target : TargetList()) names.push_back(LowerCaseName(target));
  return names;
}

std::string ChosenIsa() {
  return LowerCaseName(HWY_DYNAMIC_DISPATCH(ThisTarget)());
}

absl::Status SetIsa(absl::string_view name) {
  const std::vector<int64_t> list = TargetList();
  if (name == "auto") {
    hwy::SetSupportedTargetsForTest(0);
    return absl::OkStatus();
  }
  for (int64_t target : list) {
    if (LowerCaseName(target) != name) continue;
    hwy::SetSupportedTargetsForTest(target);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("instruction set '", name, "' is not one of auto, ",
                   absl::StrJoin(SupportedIsas(), ", ")));
}

}  // namespace moe
#endif  // HWY_ONCE

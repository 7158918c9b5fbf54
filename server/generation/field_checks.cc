#include "server/generation/field_checks.h"

namespace moe {

void FieldChecks::ReadFloat(float value, absl::string_view field, float min,
                            float max, float& out) {
  if (value >= min && value <= max) {
    out = value;
  } else {
    violations_.Add(field, absl::StrFormat("is %g; it must be in [%g, %g]",
                                           value, min, max));
  }
}

void FieldChecks::ReadPositive(float value, absl::string_view field, float max,
                               float& out) {
  if (value > 0 && value <= max) {
    out = value;
  } else {
    violations_.Add(
        field, absl::StrFormat("is %g; it must be in (0, %g]", value, max));
  }
}

bool FieldChecks::CheckCount(uint32_t value, absl::string_view field,
                             int64_t min, int64_t max) {
  if (value >= min && value <= max) return true;
  violations_.Add(
      field, absl::StrFormat("is %d; it must be in [%d, %d]", value, min, max));
  return false;
}

}  // namespace moe

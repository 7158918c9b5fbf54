#include "engine/checkpoint/deepspeed/megatron_arguments.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace moe {

absl::StatusOr<MegatronArguments> MegatronArguments::Of(
    const PickleValue& root, const std::string& source) {
  const PickleValue* args = root.Find("args");
  if (args == nullptr || args->AsDict() == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(source, ": no Megatron arguments (`args` is ",
                     args == nullptr ? "missing" : args->ToString(),
                     "): number of heads, activation and more are unknown"));
  }
  return MegatronArguments(args, source);
}

const PickleValue* MegatronArguments::Find(absl::string_view field) const {
  const PickleValue* value = args_->Find(field);
  const bool none = value == nullptr || value->is(PickleValue::Kind::kNone);
  return none ? nullptr : value;
}

absl::Status MegatronArguments::WrongType(absl::string_view field,
                                          const PickleValue& value,
                                          absl::string_view type) const {
  return absl::DataLossError(absl::StrCat(source_, ": args.", field, " is ",
                                          value.ToString(), ", not ", type));
}

absl::StatusOr<int64_t> MegatronArguments::Int(absl::string_view field,
                                               int64_t fallback) const {
  const PickleValue* value = Find(field);
  if (value == nullptr) return fallback;
  const absl::optional<int64_t> number = value->AsInt();
  if (!number.has_value()) return WrongType(field, *value, "an integer");
  return *number;
}

absl::StatusOr<double> MegatronArguments::Double(absl::string_view field,
                                                 double fallback) const {
  const PickleValue* value = Find(field);
  if (value == nullptr) return fallback;
  const absl::optional<double> number = value->AsDouble();
  if (!number.has_value()) return WrongType(field, *value, "a number");
  return *number;
}

absl::StatusOr<bool> MegatronArguments::Bool(absl::string_view field,
                                             bool fallback) const {
  const PickleValue* value = Find(field);
  if (value == nullptr) return fallback;
  const absl::optional<bool> truth = value->AsBool();
  if (!truth.has_value()) return WrongType(field, *value, "true or false");
  return *truth;
}

absl::StatusOr<std::string> MegatronArguments::String(
    absl::string_view field, absl::string_view fallback) const {
  const PickleValue* value = Find(field);
  if (value == nullptr) return std::string(fallback);
  if (!value->is(PickleValue::Kind::kString)) {
    return WrongType(field, *value, "a string");
  }
  return std::string(value->text);
}

}  // namespace moe

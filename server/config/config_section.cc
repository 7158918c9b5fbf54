#include "server/config/config_section.h"

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/core/file_kind.h"
#include "kernels/core/status_macros.h"

namespace moe {

using google::protobuf::FieldDescriptor;
using google::protobuf::TextFormat;

const FieldDescriptor& ConfigSection::Find(const std::string& name,
                                           bool repeated) const {
  const FieldDescriptor* field =
      message_.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr || field->is_repeated() != repeated) {
    std::abort();  // a bug in the caller: no such field
  }
  return *field;
}

bool ConfigSection::Has(const std::string& field) const {
  return message_.GetReflection()->HasField(message_, &Find(field));
}

ConfigSection ConfigSection::Nested(const std::string& field) const {
  const FieldDescriptor& descriptor = Find(field);
  return ConfigSection(
      message_.GetReflection()->GetMessage(message_, &descriptor),
      tree_ == nullptr ? nullptr : tree_->GetTreeForNested(&descriptor, -1),
      file_, absl::StrCat(path_, field, "."));
}

std::vector<ConfigSection> ConfigSection::NestedEach(
    const std::string& field) const {
  const FieldDescriptor& descriptor = Find(field, /*repeated=*/true);
  const auto& reflection = *message_.GetReflection();
  std::vector<ConfigSection> sections;
  for (int i = 0; i < reflection.FieldSize(message_, &descriptor); ++i) {
    sections.emplace_back(
        reflection.GetRepeatedMessage(message_, &descriptor, i),
        tree_ == nullptr ? nullptr : tree_->GetTreeForNested(&descriptor, i),
        file_, absl::StrCat(path_, field, "[", i, "]."));
  }
  return sections;
}

absl::StatusOr<int64_t> ConfigSection::Integer(const std::string& field,
                                               int64_t default_value,
                                               int64_t min, int64_t max) const {
  if (!Has(field)) return default_value;
  const FieldDescriptor& descriptor = Find(field);
  const auto& reflection = *message_.GetReflection();
  const uint64_t value =
      descriptor.cpp_type() == FieldDescriptor::CPPTYPE_UINT64
          ? reflection.GetUInt64(message_, &descriptor)
          : reflection.GetUInt32(message_, &descriptor);
  if (value > static_cast<uint64_t>(max) || static_cast<int64_t>(value) < min) {
    return Error(
        field, max == std::numeric_limits<int64_t>::max()
                   ? absl::StrFormat("is %d; it must be %d or more", value, min)
                   : absl::StrFormat("is %d; it must be in [%d, %d]", value,
                                     min, max));
  }
  return static_cast<int64_t>(value);
}

absl::StatusOr<float> ConfigSection::Float(const std::string& field,
                                           float default_value, float min,
                                           float max) const {
  if (!Has(field)) return default_value;
  const float value =
      message_.GetReflection()->GetFloat(message_, &Find(field));
  if (!(value >= min && value <= max)) {
    return Error(field, absl::StrFormat("is %g; it must be in [%g, %g]", value,
                                        min, max));
  }
  return value;
}

absl::StatusOr<std::optional<double>> ConfigSection::Double(
    const std::string& field, double min, double max) const {
  if (!Has(field)) return std::nullopt;
  const double value =
      message_.GetReflection()->GetDouble(message_, &Find(field));
  if (!(value >= min && value <= max)) {
    return Error(field, absl::StrFormat("is %g; it must be in [%g, %g]", value,
                                        min, max));
  }
  return value;
}

absl::StatusOr<absl::Duration> ConfigSection::Duration(
    const std::string& field, absl::Duration default_value, absl::Duration min,
    absl::Duration max) const {
  const std::string text = String(field);
  if (text.empty()) return default_value;
  absl::Duration value;
  if (!absl::ParseDuration(text, &value)) {
    return Error(field, absl::StrCat("is \"", text,
                                     "\"; it must be a duration such as "
                                     "\"30s\", \"1m30s\" or \"500ms\""));
  }
  if (value < min || value > max) {
    return Error(field, absl::StrCat("is ", text, "; it must be in [",
                                     absl::FormatDuration(min), ", ",
                                     absl::FormatDuration(max), "]"));
  }
  return value;
}

std::string ConfigSection::String(const std::string& field) const {
  return message_.GetReflection()->GetString(message_, &Find(field));
}

std::string ConfigSection::Path(const std::string& field) const {
  const std::string path = String(field);
  if (path.empty()) return path;
  return (std::filesystem::path(file_).parent_path() / path)
      .lexically_normal()
      .string();
}

absl::StatusOr<std::string> ConfigSection::ExistingPath(
    const std::string& field) const {
  const std::string path = Path(field);
  std::error_code error;
  if (path.empty() || std::filesystem::exists(path, error)) return path;
  const std::string what = absl::StrCat("is \"", path, "\", ");
  if (error == std::errc::permission_denied) {
    return Error(field, absl::StrCat(what, "which cannot be reached: ",
                                     error.message(), PermissionHint()));
  }
  std::error_code ignored;
  if (std::filesystem::is_symlink(path, ignored)) {
    return Error(field, absl::StrCat(what, DescribePath(path)));
  }
  return Error(field, absl::StrCat(what, "which does not exist",
                                   error ? " (" + error.message() + ")" : ""));
}

absl::Status ConfigSection::CheckEnums() const {
  const auto& reflection = *message_.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message_, &fields);
  for (const FieldDescriptor* field : fields) {
    // Messages in repeated fields have no enums.
    if (field->is_repeated()) continue;
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      RETURN_IF_ERROR(Nested(field->name()).CheckEnums());
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
      const int number = reflection.GetEnumValue(message_, field);
      if (field->enum_type()->FindValueByNumber(number) != nullptr) continue;
      return Error(field->name(), absl::StrCat("is ", number, ", no value of ",
                                               field->enum_type()->name()));
    }
  }
  return absl::OkStatus();
}

absl::Status ConfigSection::Error(const std::string& field,
                                  absl::string_view problem) const {
  return ErrorAt(Find(field), problem);
}

absl::Status ConfigSection::ErrorOfEach(const std::string& field,
                                        absl::string_view problem) const {
  return ErrorAt(Find(field, /*repeated=*/true), problem);
}

absl::Status ConfigSection::ErrorAt(const FieldDescriptor& field,
                                    absl::string_view problem) const {
  int line = -1;
  if (tree_ != nullptr) {
    line = tree_->GetLocation(&field, field.is_repeated() ? 0 : -1).line;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(file_, ":", line < 0 ? "" : absl::StrCat(line + 1, ":"), " ",
                   path_, field.name(), " ", problem));
}

}  // namespace moe

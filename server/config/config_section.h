#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace moe {

// A message of a parsed text-format file, with the lines of its fields, so that
// errors name file, line and field. Borrows the message and the lines. Methods
// take the name of a field; the message must have it, and it must be singular
// unless the method says otherwise.
class ConfigSection {
 public:
  // `tree`: the lines of `message`; null if the file does not contain it.
  // `path`: "" or that of the message with a dot, such as "engine.".
  ConfigSection(const google::protobuf::Message& message,
                google::protobuf::TextFormat::ParseInfoTree* tree,
                absl::string_view file, absl::string_view path)
      : message_(message), tree_(tree), file_(file), path_(path) {}

  bool Has(const std::string& field) const;
  ConfigSection Nested(const std::string& field) const;
  // One section for each message of a repeated field.
  std::vector<ConfigSection> NestedEach(const std::string& field) const;

  // The value, or `default_value` if unset. kInvalidArgument if out of
  // [min, max].
  absl::StatusOr<int64_t> Integer(
      const std::string& field, int64_t default_value, int64_t min,
      int64_t max = std::numeric_limits<int64_t>::max()) const;
  // NaN is outside every range.
  absl::StatusOr<float> Float(const std::string& field, float default_value,
                              float min, float max) const;
  // nullopt if unset.
  absl::StatusOr<std::optional<double>> Double(const std::string& field,
                                               double min, double max) const;
  absl::StatusOr<absl::Duration> Duration(const std::string& field,
                                          absl::Duration default_value,
                                          absl::Duration min,
                                          absl::Duration max) const;
  std::string String(const std::string& field) const;
  // A path, made relative to the file's directory; "" if unset.
  std::string Path(const std::string& field) const;
  // The same; kInvalidArgument if nothing exists there.
  absl::StatusOr<std::string> ExistingPath(const std::string& field) const;

  // kInvalidArgument if an enum in this message, or in one nested in it, has a
  // number without a name. The parser accepts every number.
  absl::Status CheckEnums() const;

  // kInvalidArgument: "FILE:LINE: SECTION.FIELD PROBLEM".
  absl::Status Error(const std::string& field, absl::string_view problem) const;
  // The same for a repeated field, with the line of its first value.
  absl::Status ErrorOfEach(const std::string& field,
                           absl::string_view problem) const;

 private:
  const google::protobuf::FieldDescriptor& Find(const std::string& name,
                                                bool repeated = false) const;
  absl::Status ErrorAt(const google::protobuf::FieldDescriptor& field,
                       absl::string_view problem) const;

  const google::protobuf::Message& message_;
  google::protobuf::TextFormat::ParseInfoTree* tree_;
  std::string file_;
  std::string path_;
};

}  // namespace moe

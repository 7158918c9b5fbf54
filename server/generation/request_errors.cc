#include "server/generation/request_errors.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "proto/rpc/error_details.pb.h"

namespace moe {
namespace {

// Attaches `message` to `status` as the google.rpc message `name`.
void Attach(absl::string_view name, const google::protobuf::Message& message,
            absl::Status& status) {
  status.SetPayload(absl::StrCat(kErrorDetailPrefix, name),
                    absl::Cord(message.SerializeAsString()));
}

}  // namespace

void FieldViolations::Add(absl::string_view field,
                          absl::string_view description) {
  if (violations_.size() >= kMaxViolations) {
    ++num_left_out_;
    return;
  }
  violations_.emplace_back(std::string(field), std::string(description));
}

absl::Status FieldViolations::ToStatus() const {
  if (violations_.empty()) return absl::OkStatus();
  rpc::BadRequest bad_request;
  std::string message;
  for (const auto& [field, description] : violations_) {
    rpc::BadRequest::FieldViolation* violation =
        bad_request.add_field_violations();
    violation->set_field(field);
    violation->set_description(description);
    absl::StrAppend(&message, message.empty() ? "" : "; ", field, ": ",
                    description);
  }
  if (num_left_out_ > 0) {
    absl::StrAppend(&message, "; and ", num_left_out_, " more");
  }
  absl::Status status = absl::InvalidArgumentError(message);
  Attach("BadRequest", bad_request, status);
  return status;
}

absl::Status FieldViolation(absl::string_view field,
                            absl::string_view description) {
  FieldViolations violations;
  violations.Add(field, description);
  return violations.ToStatus();
}

std::string Shorten(absl::string_view text) {
  if (text.size() <= kMaxShownBytes) return std::string(text);
  size_t size = kMaxShownBytes;
  // Do not cut a character: all its bytes except the first are 10xxxxxx.
  while (size > 0 && (text[size] & 0xc0) == 0x80) --size;
  return absl::StrCat(text.substr(0, size), "...");
}

absl::Status ResourceNotFound(absl::string_view type, absl::string_view name,
                              absl::string_view description) {
  rpc::ResourceInfo resource;
  resource.set_resource_type(std::string(type));
  resource.set_resource_name(std::string(name));
  resource.set_description(std::string(description));
  absl::Status status = absl::NotFoundError(description);
  Attach("ResourceInfo", resource, status);
  return status;
}

absl::Status WithRetryInfo(absl::Status status, absl::Duration delay) {
  if (!absl::IsUnavailable(status) && !absl::IsResourceExhausted(status)) {
    return status;
  }
  rpc::RetryInfo retry;
  absl::Duration rest;
  retry.mutable_retry_delay()->set_seconds(
      absl::IDivDuration(delay, absl::Seconds(1), &rest));
  retry.mutable_retry_delay()->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  Attach("RetryInfo", retry, status);
  return status;
}

}  // namespace moe

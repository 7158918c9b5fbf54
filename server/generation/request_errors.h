#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace moe {

// The errors that requests end with, in no protocol's form: an absl::Status
// whose details are payloads. A payload holds a google.rpc message under the
// type URL kErrorDetailPrefix + its name; each front end translates it
// (server/grpc/grpc_status).
inline constexpr absl::string_view kErrorDetailPrefix =
    "type.googleapis.com/google.rpc.";

// Collects what is wrong with a request, so that the caller sees every problem
// at once. Not thread-safe.
class FieldViolations {
 public:
  static constexpr size_t kMaxViolations = 16;

  // `field` is a path such as "sampling.temperature"; `description` contains
  // the value and the range. Keep both short: gRPC sends statuses as HTTP/2
  // headers, and clients accept about 8 KiB of them. For the same reason only
  // the first kMaxViolations are kept, and the others are counted.
  void Add(absl::string_view field, absl::string_view description);

  bool empty() const { return violations_.empty(); }

  // OK if there are none; else kInvalidArgument that names them all, with a
  // google.rpc.BadRequest as payload.
  absl::Status ToStatus() const;

 private:
  std::vector<std::pair<std::string, std::string>> violations_;
  int64_t num_left_out_ = 0;
};

// kInvalidArgument with one violation.
absl::Status FieldViolation(absl::string_view field,
                            absl::string_view description);

// The first kMaxShownBytes of a client's text, cut at a character of UTF-8,
// then "..." if any of it is left out.
inline constexpr size_t kMaxShownBytes = 128;
std::string Shorten(absl::string_view text);

// kNotFound with a google.rpc.ResourceInfo as payload.
absl::Status ResourceNotFound(absl::string_view type, absl::string_view name,
                              absl::string_view description);

// Adds a google.rpc.RetryInfo to a kUnavailable or kResourceExhausted status;
// returns other statuses unchanged. For requests that have sent no output yet.
absl::Status WithRetryInfo(absl::Status status, absl::Duration delay);

}  // namespace moe

#pragma once

#include <grpcpp/support/status.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace moe {

// Collects what is wrong with a request, so that the caller learns all at once.
class FieldViolations {
 public:
  static constexpr size_t kMaxViolations = 16;

  // `field` is a path such as "sampling.temperature"; `description` carries the
  // value and the range. Both short: statuses travel as HTTP/2 headers, of
  // which clients take some 8 KiB. For the same reason only the first
  // kMaxViolations are kept, and the others counted.
  void Add(absl::string_view field, absl::string_view description);

  bool empty() const { return violations_.empty(); }

  // OK if there is none; else kInvalidArgument that names them all, with a
  // google.rpc.BadRequest as payload.
  absl::Status ToStatus() const;

 private:
  std::vector<std::pair<std::string, std::string>> violations_;
  int64_t num_left_out_ = 0;
};

// kInvalidArgument with one violation.
absl::Status FieldViolation(absl::string_view field,
                            absl::string_view description);

// The first kMaxShownBytes of a text that somebody else chose the length of,
// with "..." for the rest; of UTF-8 whole characters.
constexpr size_t kMaxShownBytes = 128;
std::string Shorten(absl::string_view text);

// kNotFound with a google.rpc.ResourceInfo as payload.
absl::Status ResourceNotFound(absl::string_view type, absl::string_view name,
                              absl::string_view description);

// Adds a google.rpc.RetryInfo to a kUnavailable or kResourceExhausted status;
// others are returned as they are. For requests of which nothing has run yet.
absl::Status WithRetryInfo(absl::Status status, absl::Duration delay);

// The same code and message. Payloads under google.rpc type URLs become the
// google.rpc.Status of the trailer `grpc-status-details-bin`.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace moe

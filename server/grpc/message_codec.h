#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include "absl/status/status.h"

namespace moe {

// Parses a request. gRPC's own parsing would end a call with INTERNAL and no
// explanation if a string is not UTF-8; this returns kInvalidArgument that
// names the field. kCancelled if the call has ended without a request.
absl::Status ParseMessage(const grpc::ByteBuffer& bytes,
                          google::protobuf::Message* message);

grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message);

}  // namespace moe

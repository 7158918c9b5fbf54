#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "absl/status/statusor.h"
#include "server/grpc_status.h"
#include "server/message_codec.h"

namespace moe {

// Answers a unary call at once: parses a `Request`, and sends what `answer`
// (Request -> absl::StatusOr<Response>) makes of it, or its status.
template <typename Request, typename Answer>
grpc::ServerUnaryReactor* AnswerUnary(grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* bytes,
                                      grpc::ByteBuffer* response,
                                      const Answer& answer) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  Request request;
  absl::Status status = ParseMessage(*bytes, &request);
  if (status.ok()) {
    const auto result = answer(request);
    status = result.status();
    if (status.ok()) *response = SerializeMessage(*result);
  }
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

}  // namespace moe

#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "absl/status/statusor.h"
#include "server/grpc/grpc_status.h"
#include "server/grpc/message_codec.h"

namespace moe {

// Parses a `Request`, calls `answer` (Request -> absl::StatusOr<Response>) and
// finishes the unary call with its response or error.
template <typename Request, typename Answer>
void FinishUnary(grpc::ServerUnaryReactor* reactor,
                 const grpc::ByteBuffer* bytes, grpc::ByteBuffer* response,
                 const Answer& answer) {
  Request request;
  absl::Status status = ParseMessage(*bytes, &request);
  if (status.ok()) {
    const auto result = answer(request);
    status = result.status();
    if (status.ok()) *response = SerializeMessage(*result);
  }
  reactor->Finish(ToGrpcStatus(status));
}

// The same on gRPC's thread, for answers that take no time.
template <typename Request, typename Answer>
grpc::ServerUnaryReactor* AnswerUnary(grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* bytes,
                                      grpc::ByteBuffer* response,
                                      const Answer& answer) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  FinishUnary<Request>(reactor, bytes, response, answer);
  return reactor;
}

}  // namespace moe

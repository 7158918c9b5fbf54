#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/generation/request_errors.h"
#include "server/generation/work_queue.h"
#include "server/grpc/grpc_status.h"
#include "server/grpc/message_codec.h"
#include "server/text/stop_signal.h"

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

// The same for answers that take long: on a thread of `queue`, unless the
// client leaves before. `answer` (Request, StopSignal* -> absl::StatusOr<
// Response>) is copied. If the queue is full the call is refused, and may be
// tried again after `retry_delay`.
template <typename Request, typename Answer>
grpc::ServerUnaryReactor* AnswerUnaryOn(WorkQueue& queue,
                                        absl::Duration retry_delay,
                                        grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* bytes,
                                        grpc::ByteBuffer* response,
                                        Answer answer) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  // The context exists until Finish. Also the end of a deadline cancels it.
  const auto abandoned = [context] { return context->IsCancelled(); };
  const auto run = [=, answer = std::move(answer)] {
    StopSignal stop(abandoned);
    if (const absl::Status status = stop.CheckNow(); !status.ok()) {
      reactor->Finish(ToGrpcStatus(status));
      return;
    }
    FinishUnary<Request>(reactor, bytes, response, [&](const Request& request) {
      return answer(request, &stop);
    });
  };
  const absl::Status added =
      queue.Add({static_cast<int64_t>(bytes->Length()), abandoned, run});
  if (!added.ok()) {
    reactor->Finish(ToGrpcStatus(WithRetryInfo(added, retry_delay)));
  }
  return reactor;
}

}  // namespace moe

#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "server/generation/inference_core.h"
#include "server/generation/work_queue.h"

namespace moe {

// Answer one call of Inference.Generate or GenerateStream. The reactors delete
// themselves when gRPC is done with the call. A request that takes long to
// parse and tokenize is started on a thread of `queue`; null: on this thread.
// `core` and the queue must outlive the call.
grpc::ServerUnaryReactor* AnswerGenerate(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response,
                                         InferenceCore& core, WorkQueue* queue);
grpc::ServerWriteReactor<grpc::ByteBuffer>* AnswerGenerateStream(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    InferenceCore& core, WorkQueue* queue);

}  // namespace moe

#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "server/generation/inference_core.h"

namespace moe {

// Answer one call of Inference.Generate or GenerateStream. The reactors delete
// themselves when gRPC is done with the call. `core` must outlive the call.
grpc::ServerUnaryReactor* AnswerGenerate(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response,
                                         InferenceCore& core);
grpc::ServerWriteReactor<grpc::ByteBuffer>* AnswerGenerateStream(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    InferenceCore& core);

}  // namespace moe

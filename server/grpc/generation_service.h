#pragma once

#include <grpcpp/impl/service_type.h>

#include <cstdint>
#include <memory>

#include "server/generation/inference_core.h"

namespace moe {

// The service moe.v1.Inference over `core`, which must outlive it.
// `max_message_bytes`: the longest answer of Tokenize.
std::unique_ptr<grpc::Service> MakeGenerationService(InferenceCore& core,
                                                     int64_t max_message_bytes);

}  // namespace moe

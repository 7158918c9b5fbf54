#pragma once

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "server/generation/inference_core.h"

namespace moe {

// The service moe.v1.Inference over `core`, which must outlive it.
std::unique_ptr<grpc::Service> MakeGenerationService(InferenceCore& core);

}  // namespace moe

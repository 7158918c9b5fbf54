#pragma once

#include "proto/moe/v1/control.pb.h"
#include "server/generation/inference_core.h"
#include "server/generation/server_identity.h"

namespace moe {

// What Control.GetServerInfo answers.
v1::ServerInfo DescribeServer(const InferenceCore& core,
                              const ServerIdentity& identity);

// What Control.GetLoad answers.
v1::Load DescribeLoad(const InferenceCore& core);

}  // namespace moe

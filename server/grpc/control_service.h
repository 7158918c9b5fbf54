#pragma once

#include <grpcpp/impl/service_type.h>

#include <memory>
#include <string>

#include "server/generation/inference_core.h"

namespace moe {

// True if `peer`, in gRPC's form ("ipv4:127.0.0.1:4711"), is on this host.
bool IsLocalPeer(const std::string& peer);

// The service moe.v1.Control over `core`, which must outlive it.
// `remote_control`: also accept Abort, Drain and Resume from other hosts.
std::unique_ptr<grpc::Service> MakeControlService(InferenceCore& core,
                                                  bool remote_control);

}  // namespace moe

#pragma once

#include <string>

#include "proto/moe/v1/generation.grpc.pb.h"

namespace moe {

// Expects that a server of the golden PR-MoE checkpoint `model` answers with
// the tokens of the training framework, and that each of its three MoE layers
// computed every token except the last.
void ExpectGoldenAnswers(const std::string& model, v1::Inference::Stub& stub);

}  // namespace moe

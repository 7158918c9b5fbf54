#pragma once

#include <string>

#include "proto/moe/v1/generation.grpc.pb.h"

namespace moe {

// Expects of a server of the golden PR-MoE checkpoint `model` the tokens with
// which the training framework itself continues its prompts, and that each of
// its three layers of experts computed every token but the last.
void ExpectGoldenAnswers(const std::string& model, v1::Inference::Stub& stub);

}  // namespace moe

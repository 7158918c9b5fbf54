#pragma once

#include <string>

#include "proto/moe/v1/control.pb.h"
#include "proto/moe/v1/generation.pb.h"

namespace moe::client {

// The server's ranks and experts as tables for people.

// A line for each rank.
std::string RankTable(const v1::GetRanksResponse& response);
// Several lines for each MoE layer.
std::string ExpertTable(const v1::ExpertLoad& load);
// A line for each MoE layer.
std::string ExpertUsageTable(const v1::ExpertUsage& usage);

}  // namespace moe::client

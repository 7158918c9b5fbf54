#pragma once

#include "absl/status/statusor.h"
#include "proto/moe/v1/control.pb.h"
#include "server/generation/served_model.h"

namespace moe {

// Describe the ranks of a model as messages of moe.v1.Control.

v1::Layout DescribeLayout(const ServedModel& model);

// Every rank, as of its last heartbeat.
v1::GetRanksResponse DescribeRanks(const ServedModel& model);

// A rank that has not reported its load yet counts as zero; kUnavailable if
// rank 0 does not report it.
absl::StatusOr<v1::ExpertLoad> DescribeExpertLoad(const ServedModel& model);

}  // namespace moe

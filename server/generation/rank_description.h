#pragma once

#include "absl/status/statusor.h"
#include "proto/moe/v1/control.pb.h"
#include "server/generation/served_model.h"

namespace moe {

// The ranks of a model in the words of moe.v1.Control.

v1::Layout DescribeLayout(const ServedModel& model);

// Every rank as of its last heartbeat.
v1::GetRanksResponse DescribeRanks(const ServedModel& model);

// A rank that has not told of its experts yet counts as one that has done
// nothing; kUnavailable if rank 0 does not tell.
absl::StatusOr<v1::ExpertLoad> DescribeExpertLoad(const ServedModel& model);

}  // namespace moe

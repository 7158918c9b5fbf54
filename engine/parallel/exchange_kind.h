#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace moe {

// How tokens reach the ranks of their experts and come back.
enum class ExchangeKind {
  kFlat,          // all_to_all_v among all p ranks
  kHierarchical,  // hierarchical_all_to_all_v: in the node, then across nodes
  kCoordinated,   // coordinated_all_to_all_v: among equal tensor ranks
  kReplicated,    // no all-to-all: every rank has all tokens, computes those of
                  // its experts and all_gather_v joins the results
};

// "flat", "hierarchical", "coordinated", "replicated".
absl::string_view ExchangeKindName(ExchangeKind kind);
// kInvalidArgument naming the choices.
absl::StatusOr<ExchangeKind> ParseExchangeKind(absl::string_view name);

}  // namespace moe

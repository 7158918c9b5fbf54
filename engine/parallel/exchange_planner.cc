#include "engine/parallel/exchange_planner.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace moe {
namespace {

std::string ShapeText(const ExchangeShape& shape) {
  return absl::StrCat(shape.nodes.num_nodes, "x", shape.nodes.ranks_per_node,
                      " ranks",
                      shape.replication == 1
                          ? ""
                          : absl::StrCat(", ", shape.replication, " replicas"));
}

std::string PredictionText(const ExchangePrediction& p) {
  return absl::StrCat(
      ExchangeKindName(p.kind), " ",
      absl::FormatDuration(absl::Trunc(p.time, absl::Nanoseconds(100))), " (",
      p.messages, " messages, ", static_cast<int64_t>(p.bytes), " bytes)");
}

}  // namespace

absl::StatusOr<ExchangePlanner> ExchangePlanner::Create(
    const ExchangeCosts& costs, const ExchangeShape& shape,
    std::optional<ExchangeKind> pinned) {
  if (!(costs.in_node.bytes_per_second > 0) ||
      !(costs.across.bytes_per_second > 0) ||
      !(costs.copy_bytes_per_second > 0) || !(costs.imbalance >= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "ExchangePlanner: bytes per second in the node ",
        costs.in_node.bytes_per_second, ", across ",
        costs.across.bytes_per_second, ", copying ",
        costs.copy_bytes_per_second, " must be positive, imbalance ",
        costs.imbalance, " at least 1"));
  }
  if (shape.nodes.num_nodes < 1 || shape.nodes.ranks_per_node < 1 ||
      shape.replication < 1 || shape.num_ranks() % shape.replication != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("ExchangePlanner: ", ShapeText(shape),
                     ": replication must divide the number of ranks"));
  }
  if (pinned.has_value() && !ExchangeKindApplies(*pinned, shape)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "exchange ", ExchangeKindName(*pinned), " is not possible on ",
        ShapeText(shape),
        *pinned == ExchangeKind::kCoordinated
            ? ": it needs a tensor degree above 1"
            : ": it needs several nodes with several ranks each, and tokens "
              "that are not replicated"));
  }
  return ExchangePlanner(costs, shape, pinned);
}

ExchangeChoice ExchangePlanner::Choose(const ExchangeLoad& load) const {
  ExchangeChoice choice;
  for (ExchangeKind kind :
       {ExchangeKind::kFlat, ExchangeKind::kHierarchical,
        ExchangeKind::kCoordinated, ExchangeKind::kReplicated}) {
    if (ExchangeKindApplies(kind, shape_)) {
      choice.predictions.push_back(PredictExchange(kind, costs_, shape_, load));
    }
  }
  std::stable_sort(
      choice.predictions.begin(), choice.predictions.end(),
      [](const auto& a, const auto& b) { return a.time < b.time; });
  choice.kind = pinned_.value_or(choice.predictions[0].kind);
  choice.why = absl::StrCat(
      ExchangeKindName(choice.kind), pinned_.has_value() ? " (pinned)" : "",
      " for ", load.tokens, " tokens x top-", load.top_k, " on ",
      ShapeText(shape_), ": ",
      absl::StrJoin(choice.predictions, ", ",
                    [](std::string* out, const ExchangePrediction& p) {
                      out->append(PredictionText(p));
                    }));
  return choice;
}

}  // namespace moe

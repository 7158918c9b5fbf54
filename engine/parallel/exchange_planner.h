#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/parallel/exchange_cost_model.h"
#include "engine/parallel/exchange_kind.h"

namespace moe {

struct ExchangeChoice {
  ExchangeKind kind = ExchangeKind::kFlat;
  // Of every kind that applies, the fastest first (also where one is pinned).
  std::vector<ExchangePrediction> predictions;
  // "flat for 8 tokens on 4x2 ranks: flat 60us (21 messages), hierarchical ..."
  std::string why;
};

// Chooses the exchange of one MoE layer for each step. Every rank must ask with
// the same load (the largest token count of all ranks, which the step's plan
// knows), or they would disagree. Immutable; thread-safe.
class ExchangePlanner {
 public:
  // `pinned`: always this kind. kInvalidArgument if costs are not positive or
  // the pinned kind does not apply to the shape.
  static absl::StatusOr<ExchangePlanner> Create(
      const ExchangeCosts& costs, const ExchangeShape& shape,
      std::optional<ExchangeKind> pinned = std::nullopt);

  // Ties go to the kind named first in ExchangeKind.
  ExchangeChoice Choose(const ExchangeLoad& load) const;

 private:
  ExchangePlanner(const ExchangeCosts& costs, const ExchangeShape& shape,
                  std::optional<ExchangeKind> pinned)
      : costs_(costs), shape_(shape), pinned_(pinned) {}

  ExchangeCosts costs_;
  ExchangeShape shape_;
  std::optional<ExchangeKind> pinned_;
};

}  // namespace moe

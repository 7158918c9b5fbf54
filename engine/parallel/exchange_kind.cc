#include "engine/parallel/exchange_kind.h"

#include "absl/strings/str_cat.h"

namespace moe {

absl::string_view ExchangeKindName(ExchangeKind kind) {
  switch (kind) {
    case ExchangeKind::kFlat:
      return "flat";
    case ExchangeKind::kHierarchical:
      return "hierarchical";
    case ExchangeKind::kCoordinated:
      return "coordinated";
    case ExchangeKind::kReplicated:
      return "replicated";
  }
  return "unknown";
}

absl::StatusOr<ExchangeKind> ParseExchangeKind(absl::string_view name) {
  for (ExchangeKind kind :
       {ExchangeKind::kFlat, ExchangeKind::kHierarchical,
        ExchangeKind::kCoordinated, ExchangeKind::kReplicated}) {
    if (name == ExchangeKindName(kind)) return kind;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("exchange '", name,
                   "' is not flat, hierarchical, coordinated or replicated"));
}

}  // namespace moe

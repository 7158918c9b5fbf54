#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "comm/deadline.h"
#include "comm/host_communicator.h"
#include "comm/pending_operation.h"
#include "engine/moe/expert_parallel/exchange_route.h"
#include "engine/moe/expert_parallel/layer_exchange.h"
#include "engine/moe/expert_parallel/source_tokens.h"
#include "engine/moe/token_dispatcher.h"
#include "engine/parallel/exchange_kind.h"
#include "kernels/core/stream.h"

namespace moe {

// A dispatch over the ranks of a layer's expert group, by the route of its kind
// of exchange. Partial sums of sliced experts are added over the slices in the
// order of the ranks.
class ExpertParallelDispatch : public DispatchHandle {
 public:
  // All but `source` are borrowed; `load`, if not null, counts.
  ExpertParallelDispatch(const LayerExchange& layer, SourceTokens source,
                         MoeLayerLoad* load, Stream& stream);

  // Begins the exchange. Without a kind no rank of the group has rows.
  absl::Status Begin(std::optional<ExchangeKind> kind);

  absl::StatusOr<bool> Poll() override;
  absl::StatusOr<DispatchedTokens> FinishDispatch() override;
  absl::Status BeginCombine(const TensorView& expert_out) override;
  absl::StatusOr<CombinedTokens> FinishCombine() override;

 private:
  std::unique_ptr<ExchangeRoute> MakeRoute(ExchangeKind kind) const;
  absl::StatusOr<DispatchedTokens> NoTokens();
  absl::Status BeginOperation(
      absl::StatusOr<std::unique_ptr<PendingOperation>> begun);
  absl::Status FinishOperation();
  // What is under way is seen done, or is waited for from now on.
  void EndOverlap();

  const LayerExchange& layer_;
  SourceTokens source_;
  MoeLayerLoad* const load_;
  Stream& stream_;
  const CommunicatorCounters counters_before_;
  std::unique_ptr<ExchangeRoute> route_;  // null: no rows
  int64_t num_slots_ = 0;
  TensorView results_;
  // After what its end uses.
  std::unique_ptr<PendingOperation> pending_;
  std::optional<Deadline> begun_;  // while pending_ was not seen done
};

}  // namespace moe

#pragma once

#include <deque>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "comm/collectives/phased_operation.h"
#include "comm/pending_operation.h"
#include "engine/moe/expert_parallel/layer_exchange.h"
#include "engine/moe/expert_parallel/source_tokens.h"
#include "engine/moe/token_dispatcher.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// How the rows of one dispatch come to the experts, and the results back. No
// route changes a bit of a result. Its functions are called in this order.
class ExchangeRoute {
 public:
  // All are borrowed. The route is of one dispatch.
  ExchangeRoute(const LayerExchange& layer, const SourceTokens& source,
                Stream& stream)
      : layer_(layer), source_(source), stream_(stream) {}
  virtual ~ExchangeRoute() = default;
  ExchangeRoute(const ExchangeRoute&) = delete;
  ExchangeRoute& operator=(const ExchangeRoute&) = delete;

  // Adds what must be exchanged before the experts, for when the source tokens
  // are there.
  virtual void AddPhases(std::deque<PhasedOperation::Phase>& phases) = 0;

  // The rows for this rank's experts, when the phases are done.
  virtual absl::StatusOr<DispatchedTokens> Received() = 0;

  // Begins to bring expert_out [slots received, hidden], which is complete, to
  // `results` [slots of the source group, hidden], or lets `results` be what
  // holds them already. Null: there is nothing to wait for.
  virtual absl::StatusOr<std::unique_ptr<PendingOperation>> BeginReturn(
      const TensorView& expert_out, TensorView& results) = 0;

  // Where in the results those of this rank's own rows are.
  virtual absl::StatusOr<TensorView> OwnSlotOf() {
    return source_.own_slot_of();
  }

 protected:
  ExchangeBuffers& buffers() const { return *layer_.buffers; }

  const LayerExchange& layer_;
  const SourceTokens& source_;
  Stream& stream_;
};

}  // namespace moe

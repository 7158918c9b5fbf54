#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/config/index_range.h"
#include "engine/moe/expert_parallel/exchange_route.h"

namespace moe {

// The ranks exchange how many rows will come, then the rows, each with its
// expert's id. The receiver sorts them by expert; the results return the same
// way. A class for each kind of all-to-all.
class AllToAllRoute : public ExchangeRoute {
 public:
  using ExchangeRoute::ExchangeRoute;

  void AddPhases(std::deque<PhasedOperation::Phase>& phases) final;
  absl::StatusOr<DispatchedTokens> Received() final;
  absl::StatusOr<std::unique_ptr<PendingOperation>> BeginReturn(
      const TensorView& expert_out, TensorView& results) final;

 protected:
  using Begun = absl::StatusOr<std::unique_ptr<PendingOperation>>;

  // Of the source group's slots for a rank of the expert group, those that
  // replica `replica` sends: all of them, unless a kind parts them.
  virtual IndexRange SlotsFor(int expert_rank, int replica) const;
  // Whether this replica sends those slots.
  virtual bool SendsTo(int) const { return true; }

  // Exchanges the counts: send_rows [p] by rank of the expert group.
  virtual Begun BeginPlan(std::vector<int64_t> send_rows) = 0;
  // Of the plan, by source.
  virtual absl::Span<const int64_t> receive_rows() const = 0;
  // packed [sum(send_rows), width] to received [sum(receive_rows), width].
  virtual Begun BeginRows(const TensorView& packed,
                          const TensorView& received) = 0;
  // The return: the results of the received rows, in their order.
  virtual Begun BeginResults(const TensorView& sent,
                             const TensorView& results) = 0;

 private:
  Begun ExchangeCounts();
  Begun ExchangeRows();
  absl::Status CheckReceiveRows() const;
  absl::StatusOr<TensorView> PackRows();
  TensorView ReceivedRows() const;

  int64_t received_rows_ = 0;
};

}  // namespace moe

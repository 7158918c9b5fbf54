#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "comm/collectives/coordinated_all_to_all_v.h"
#include "comm/collectives/hierarchical_all_to_all_v.h"
#include "comm/deadline.h"
#include "comm/pending_operation.h"
#include "engine/config/index_range.h"
#include "engine/config/model_config.h"
#include "engine/moe/exchange_options.h"
#include "engine/moe/packed_tokens.h"
#include "engine/moe/token_dispatcher.h"
#include "engine/parallel/exchange_planner.h"
#include "engine/parallel/parallel_layout.h"
#include "engine/parallel/process_groups.h"
#include "kernels/core/tensor.h"

namespace moe {

// Memory of exchanges, which grows to what they need (any number of rows may
// choose one rank's experts). Shared by the layers of a model.
struct ExchangeBuffers {
  Tensor united;   // rows of all data ranks of a slice group
  Tensor packed;   // on its way out
  Tensor arrived;  // rows that came in
  Tensor results;  // of this rank's rows
};

// Brings rows to the ranks of a layer's expert group and results back.
//
// The expert group has p = D x L ranks: L replicas hold the same rows, D groups
// of them different ones. By the kind that the planner chooses for a step
//   flat, hierarchical, coordinated  the ranks tell each other how many rows
//       will come, then rows travel, each with its expert's id, are sorted by
//       expert where they arrive, and the results take the same way back. In a
//       flat exchange each replica sends a part of their rows, and they gather
//       the results.
//   replicated  every rank gets the rows and expert ids of all: no counts are
//       exchanged, and results go straight to those who need them.
//   replicated or coordinated with D = 1  nothing is sent before the experts.
// Where a slice group spans several data ranks (slice degree above tensor
// degree) their rows are first united, so that all slices of an expert get the
// same; partial sums are added over the slices in the order of the ranks.
// No kind changes a bit of a result.
class ExchangingDispatcher : public TokenDispatcher {
 public:
  // Of the layer `layer` of the model, its `moe_layer_idx`-th with experts.
  // `groups` and `buffers` are borrowed. Of all ranks, equal arguments but for
  // the groups. kInvalidArgument if costs are not positive.
  static absl::StatusOr<std::unique_ptr<ExchangingDispatcher>> Create(
      const ModelConfig& config, int64_t layer, int moe_layer_idx,
      ProcessGroups& groups, const ExchangeOptions& options,
      ExchangeBuffers* buffers);

  bool is_local() const override { return false; }
  absl::Status BeginDispatch(const TensorView& hidden,
                             const GatingResult& gating,
                             const MoeStep& step) override;
  absl::StatusOr<bool> Poll() override;
  absl::StatusOr<DispatchedTokens> FinishDispatch() override;
  absl::Status BeginCombine(const DispatchedTokens& tokens,
                            const TensorView& expert_out) override;
  absl::StatusOr<CombinedTokens> FinishCombine() override;

 private:
  using Begun = absl::StatusOr<std::unique_ptr<PendingOperation>>;

  // How rows come to the experts.
  enum class Route {
    kNone,      // no rank of the group has rows
    kInPlace,   // they are here
    kGathered,  // all rows to all ranks
    kRouted,    // each to the ranks of its experts
  };

  ExchangingDispatcher(const ModelConfig& config, int64_t layer,
                       const MoeLayerGroups& groups,
                       const ExpertPlacement& placement, int world_rank,
                       int tensor_degree, int data_degree,
                       ExchangePlanner planner, ExchangeBuffers* buffers);

  // Exchanging counts and rows; exchanging_dispatcher.cc.
  absl::Status CountSourceRows(int64_t rows, const MoeStep& step);
  ExchangeKind ChooseKind();
  Begun UniteSlices();
  absl::Status SortUnited();
  Begun GatherRows();
  Begun ExchangeCounts();
  Begun ExchangeRows();
  absl::Status CheckArrivals(absl::Span<const int64_t> receive_rows) const;
  void PackOwnRows(float* out) const;
  absl::Status BeginOperation(Begun begun);
  absl::Status FinishOperation();
  // Whether this replica sends rows to the expert rank under the kind.
  bool SendsTo(int expert_rank) const;
  // Of the slots for expert rank e, those that replica `l` sends. [begin, end)
  IndexRange SlotsFor(int expert_rank, int replica) const;

  // The way back; exchanging_dispatcher_return.cc.
  Begun ReturnInPlace(const TensorView& expert_out);
  Begun ReturnGathered(const TensorView& expert_out);
  Begun ReturnRouted(const TensorView& expert_out);
  Begun ReturnFlatToReplicas(const float* sent);
  std::vector<int64_t> SlotsByOwner() const;  // [p]

  CommunicatorCounters Counters() const;

  // Of the layer.
  const int64_t layer_;
  const int64_t hidden_;
  const int64_t top_k_;
  const MoeLayerGroups groups_;
  const ExpertPlacement placement_;
  const int tensor_degree_;
  const int data_degree_;
  const int data_rank_;
  const int expert_rank_;
  const int num_replicas_;  // L
  const int num_sources_;   // D
  // Source group d has the rows of data ranks [first + d * span, + span).
  const int first_data_rank_;
  const int data_ranks_per_source_;
  const RowFormat routed_;  // one expert's id with each row
  const RowFormat whole_;   // all of its experts' ids
  const ExchangePlanner planner_;
  std::unordered_map<int64_t, ExchangeKind> chosen_;  // by tokens
  ExchangeBuffers* const buffers_;

  // Of the step.
  MoeLayerLoad* load_ = nullptr;
  CommunicatorCounters counters_before_;
  ExchangeKind kind_ = ExchangeKind::kFlat;
  Route route_ = Route::kNone;
  absl::Span<const int32_t> rows_on_data_ranks_;
  TensorView own_hidden_;
  GatingResult gating_;
  std::vector<int64_t> source_rows_;  // [D]
  int64_t own_begin_ = 0;             // this rank's rows in the united ones
  SlotTable united_table_;
  // This source group's rows and slots: the gating's, or the united table's.
  TensorView x_;
  absl::Span<const int32_t> expert_offsets_;  // [experts + 1]
  absl::Span<const int32_t> row_of_slot_;
  absl::Span<const int32_t> slot_of_;  // [rows of the source group, top_k]
  // Rows that came, and how they did.
  AllToAllVPlan flat_;
  HierarchicalAllToAllVPlan hierarchical_;
  CoordinatedAllToAllVPlan coordinated_;
  std::vector<int64_t> send_rows_;  // [p] in `packed`
  int64_t arrived_rows_ = 0;
  SlotTable arrived_table_;
  std::vector<int32_t> local_offsets_;  // in place: of this rank's experts
  // Results.
  TensorView results_;
  std::vector<int32_t> own_slot_of_;  // where results are not in slot order

  // Under way; after the buffers' bookkeeping, for its end uses that.
  std::unique_ptr<PendingOperation> pending_;
  std::optional<Deadline> begun_;  // while pending_ was not seen done
};

}  // namespace moe

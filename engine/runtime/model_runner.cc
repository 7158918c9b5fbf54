#include "engine/runtime/model_runner.h"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

SequenceRouting RoutingOf(const SequenceSlice& slice, const ModelConfig& model,
                          const RoutingTrace& trace) {
  SequenceRouting routing;
  routing.sequence_id = slice.sequence_id;
  routing.num_tokens = slice.num_tokens;
  for (size_t layer = 0; layer < trace.expert_ids.size(); ++layer) {
    const std::vector<int32_t>& all = trace.expert_ids[layer];
    std::vector<int32_t>& ids = routing.expert_ids.emplace_back();
    if (all.empty()) continue;
    const int64_t top_k = model.layers[layer].moe().top_k;
    const auto begin = all.begin() + slice.first_row * top_k;
    ids.assign(begin, begin + slice.num_tokens * top_k);
  }
  return routing;
}

}  // namespace

absl::Status ModelRunner::Run(const Batch& rank_batch, const TensorView& logits,
                              std::vector<SequenceRouting>* routing) {
  RoutingTrace trace;
  const bool traced =
      routing != nullptr &&
      std::any_of(
          rank_batch.sequences.begin(), rank_batch.sequences.end(),
          [](const SequenceSlice& slice) { return slice.trace_routing; });
  try {
    RETURN_IF_ERROR(model_->Forward(rank_batch, *cache_, logits,
                                    traced ? &trace : nullptr));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "there is no memory for a step of ", rank_batch.num_rows(), " rows"));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("the model threw in a step of ",
                                            rank_batch.num_rows(),
                                            " rows: ", error.what()));
  }
  if (!traced) return absl::OkStatus();
  for (const SequenceSlice& slice : rank_batch.sequences) {
    if (!slice.trace_routing) continue;
    routing->push_back(RoutingOf(slice, model_->config(), trace));
  }
  return absl::OkStatus();
}

}  // namespace moe

#include "engine/models/routing_fetch.h"

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

absl::StatusOr<Tensor> BeginFetch(const TensorView& view, Stream& stream) {
  ASSIGN_OR_RETURN(
      Tensor tensor,
      Tensor::AllocatePinned(stream.backend(), view.dtype,
                             absl::MakeConstSpan(view.dims).first(view.rank)));
  RETURN_IF_ERROR(stream.Copy(view, tensor.view()));
  return tensor;
}

template <typename T>
void Assign(const Tensor& tensor, std::vector<T>& values) {
  const T* const data = tensor.ptr<T>();
  values.assign(data, data + tensor.view().num_elements());
}

}  // namespace

absl::Status RoutingFetch::Fetch(int64_t layer, const GatingResult& gating,
                                 Stream& stream) {
  ASSIGN_OR_RETURN(layers_[layer].expert_ids,
                   BeginFetch(gating.expert_ids, stream));
  ASSIGN_OR_RETURN(layers_[layer].weights, BeginFetch(gating.weights, stream));
  return absl::OkStatus();
}

void RoutingFetch::Finish(RoutingTrace& trace) const {
  trace.expert_ids.assign(layers_.size(), {});
  trace.weights.assign(layers_.size(), {});
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    if (layers_[layer].expert_ids.view().empty()) continue;
    Assign(layers_[layer].expert_ids, trace.expert_ids[layer]);
    Assign(layers_[layer].weights, trace.weights[layer]);
  }
}

}  // namespace moe

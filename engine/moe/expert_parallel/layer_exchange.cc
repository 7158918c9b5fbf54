#include "engine/moe/expert_parallel/layer_exchange.h"

#include <algorithm>

#include "kernels/core/status_macros.h"

namespace moe {
namespace {

ExpertPlacement Placement(const ModelConfig& config, int64_t layer,
                          const MoeLayerGroups& groups, int world_size) {
  return ExpertPlacement(
      world_size, {.layer = static_cast<int>(layer),
                   .num_experts = static_cast<int>(config.num_experts(layer)),
                   .expert_degree = groups.expert->size(),
                   .slice_degree = groups.slice->size()});
}

std::vector<Communicator*> AllGroups(const MoeLayerGroups& groups) {
  std::vector<Communicator*> all = {
      groups.expert, groups.slice, groups.expert_replicas, groups.expert_peers};
  if (groups.expert_node != nullptr) {
    all.insert(all.end(), {groups.expert_node, groups.expert_cross});
  }
  return all;
}

}  // namespace

LayerExchange::LayerExchange(const ModelConfig& config, int64_t layer,
                             int moe_layer_idx, ProcessGroups& all,
                             ExchangeBuffers* buffers)
    : layer(layer),
      hidden(config.hidden_size),
      top_k(config.layers[layer].moe().top_k),
      groups(all.moe_layer(moe_layer_idx)),
      all_groups(AllGroups(groups)),
      placement(Placement(config, layer, groups, all.world().size())),
      first_expert(placement.ExpertsBegin(groups.expert->rank())),
      num_experts(placement.NumExpertsOn(groups.expert->rank())),
      tensor_degree(all.tensor().size()),
      data_degree(all.data().size()),
      data_rank(all.world().rank() / tensor_degree),
      first_data_rank(placement.expert_data_rank(all.world().rank()) *
                      placement.expert_degree() * placement.slice_degree() /
                      tensor_degree),
      data_ranks_per_source(
          std::max(1, placement.slice_degree() / tensor_degree)),
      routed{hidden, 1},
      whole{hidden, top_k},
      buffers(buffers) {}

std::vector<int64_t> LayerExchange::SlotsByRank(
    absl::Span<const int32_t> expert_offsets) const {
  std::vector<int64_t> slots;
  for (int e = 0; e < num_ranks(); ++e) {
    slots.push_back(expert_offsets[placement.ExpertsBegin(e + 1)] -
                    expert_offsets[placement.ExpertsBegin(e)]);
  }
  return slots;
}

CommunicatorCounters LayerExchange::Counters() const {
  CommunicatorCounters sum;
  for (const Communicator* group : all_groups) {
    const CommunicatorCounters counters = group->counters();
    sum.messages_sent += counters.messages_sent;
    sum.bytes_sent += counters.bytes_sent;
    sum.wait_time += counters.wait_time;
  }
  return sum;
}

absl::Status LayerExchange::GroupStatus() const {
  for (const Communicator* group : all_groups) {
    RETURN_IF_ERROR(group->host().status());
  }
  return absl::OkStatus();
}

}  // namespace moe

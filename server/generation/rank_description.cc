#include "server/generation/rank_description.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "engine/distributed/rank_runtime.h"
#include "engine/loading/load_engine_options.h"  // ExchangeKind
#include "engine/runtime/engine.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

v1::Rank::State ToProto(RankState state) {
  switch (state) {
    case RankState::kStarting:
      return v1::Rank::STARTING;
    case RankState::kLoading:
      return v1::Rank::LOADING;
    case RankState::kIdle:
      return v1::Rank::IDLE;
    case RankState::kInStep:
      return v1::Rank::IN_STEP;
    case RankState::kFailed:
      return v1::Rank::FAILED;
  }
  return v1::Rank::STATE_UNSPECIFIED;
}

v1::Rank ToProto(const RankStatus& status) {
  const RankProgress& progress = status.progress;
  v1::Rank rank;
  rank.set_rank(status.rank);
  rank.set_host(status.host);
  rank.set_pid(status.pid);
  rank.set_state(ToProto(progress.state));
  if (progress.last_step >= 0) rank.set_last_step(progress.last_step);
  rank.set_heartbeat_age_seconds(absl::ToDoubleSeconds(status.heartbeat_age));
  rank.set_exchange_wait_seconds(absl::ToDoubleSeconds(progress.exchange_wait));
  rank.set_last_step_exchange_wait_seconds(
      absl::ToDoubleSeconds(progress.last_step_wait));
  rank.set_weight_bytes(progress.weight_bytes);
  rank.set_kv_cache_bytes(progress.kv_cache_bytes);
  rank.set_threads(progress.num_threads);
  rank.set_isa(progress.isa);
  return rank;
}

// The one rank of a server without a RankRuntime.
v1::Rank DescribeThisProcess(const ServedModel& model) {
  v1::Rank rank;
  rank.set_pid(getpid());
  rank.set_state(model.engine->CheckHealth().ok() ? v1::Rank::IDLE
                                                  : v1::Rank::FAILED);
  rank.set_weight_bytes(model.info.weight_bytes);
  rank.set_kv_cache_bytes(model.info.kv_cache_bytes);
  rank.set_threads(model.info.num_threads);
  rank.set_isa(model.info.isa);
  return rank;
}

// The load of a rank with the layers of `other` that has computed nothing.
ExpertLoad ZeroLoad(const ExpertLoad& other) {
  ExpertLoad load;
  for (const MoeLayerLoad& layer : other.layers) {
    MoeLayerLoad& none = load.layers.emplace_back();
    none.layer = layer.layer;
    none.rows_by_expert.resize(layer.rows_by_expert.size());
  }
  return load;
}

// Adds the exchanges of all ranks to `out`.
void AddExchanges(const std::vector<ExpertLoad>& ranks, size_t index,
                  v1::MoeLayerLoad& out) {
  constexpr size_t kNumKinds =
      std::tuple_size_v<decltype(MoeLayerLoad::exchanges)>;
  std::array<int64_t, kNumKinds> steps = {};
  int64_t messages = 0, bytes = 0;
  absl::Duration waited, hidden;
  for (const ExpertLoad& rank : ranks) {
    const MoeLayerLoad& layer = rank.layers[index];
    for (size_t kind = 0; kind < kNumKinds; ++kind) {
      // Every rank takes part in every exchange.
      steps[kind] = std::max(steps[kind], layer.exchanges[kind]);
    }
    messages += layer.messages;
    bytes += layer.bytes;
    waited = std::max(waited, layer.waited);
    hidden = std::max(hidden, layer.hidden);
  }
  for (size_t kind = 0; kind < kNumKinds; ++kind) {
    if (steps[kind] == 0) continue;
    v1::MoeLayerLoad::Exchange& exchange = *out.add_exchanges();
    exchange.set_kind(
        std::string(ExchangeKindName(static_cast<ExchangeKind>(kind))));
    exchange.set_steps(steps[kind]);
  }
  out.set_messages(messages);
  out.set_bytes(bytes);
  out.set_wait_seconds(absl::ToDoubleSeconds(waited));
  out.set_hidden_seconds(absl::ToDoubleSeconds(hidden));
}

}  // namespace

v1::Layout DescribeLayout(const ServedModel& model) {
  const int world_size = model.ranks == nullptr ? 1 : model.ranks->size();
  v1::Layout layout;
  layout.set_tensor_degree(model.info.tensor_degree);
  layout.set_data_degree(model.info.data_degree);
  for (const MoeLayerDegrees& degrees : model.info.moe_layers) {
    v1::Layout::MoeLayer& out = *layout.add_moe_layers();
    out.set_layer(degrees.layer);
    out.set_expert_degree(degrees.expert_degree);
    out.set_slice_degree(degrees.slice_degree);
    out.set_expert_data_degree(world_size /
                               (degrees.expert_degree * degrees.slice_degree));
  }
  // One process has no layout: it holds everything.
  if (model.info.moe_layers.empty()) {
    const ModelConfig& config = model.info.model;
    for (int64_t i = 0; i < config.num_layers(); ++i) {
      if (!config.is_moe_layer(i)) continue;
      v1::Layout::MoeLayer& out = *layout.add_moe_layers();
      out.set_layer(i);
      out.set_expert_degree(1);
      out.set_slice_degree(1);
      out.set_expert_data_degree(1);
    }
  }
  layout.set_nodes(
      model.ranks == nullptr ? 1 : model.ranks->topology().num_nodes());
  return layout;
}

v1::GetRanksResponse DescribeRanks(const ServedModel& model) {
  v1::GetRanksResponse response;
  if (model.ranks == nullptr) {
    *response.add_ranks() = DescribeThisProcess(model);
    return response;
  }
  for (const RankStatus& status : model.ranks->Ranks()) {
    v1::Rank& rank = *response.add_ranks();
    rank = ToProto(status);
    rank.set_node(model.ranks->topology().node_of(status.rank));
  }
  return response;
}

absl::StatusOr<v1::ExpertLoad> DescribeExpertLoad(const ServedModel& model) {
  if (model.ranks == nullptr) {
    return absl::UnavailableError("this engine does not count expert load");
  }
  std::vector<ExpertLoad> ranks;
  for (RankStatus& status : model.ranks->Ranks()) {
    std::optional<ExpertLoad>& reported = status.progress.expert_load;
    if (reported.has_value()) {
      ranks.push_back(*std::move(reported));
    } else if (!ranks.empty()) {
      // The rank has not sent its first heartbeat yet.
      ranks.push_back(ZeroLoad(ranks[0]));
    } else {
      return absl::UnavailableError("rank 0 does not report expert load");
    }
  }
  ASSIGN_OR_RETURN(const std::vector<MoeLayerLoadSummary> layers,
                   SummarizeExpertLoad(ranks, model.info.tensor_degree));
  v1::ExpertLoad load;
  for (size_t i = 0; i < layers.size(); ++i) {
    const MoeLayerLoadSummary& layer = layers[i];
    v1::MoeLayerLoad& out = *load.add_layers();
    out.set_layer(layer.layer);
    out.mutable_tokens_by_expert()->Add(layer.rows_by_expert.begin(),
                                        layer.rows_by_expert.end());
    out.set_expert_imbalance(layer.expert_imbalance);
    out.mutable_tokens_by_rank()->Add(layer.slots_by_rank.begin(),
                                      layer.slots_by_rank.end());
    out.set_rank_imbalance(layer.rank_imbalance);
    AddExchanges(ranks, i, out);
  }
  return load;
}

}  // namespace moe

#include "engine/parallel/parallel_cost.h"

#include <algorithm>
#include <cmath>

namespace moe {
namespace {

// Sent with each row: the id of its expert, padded to a cache line.
constexpr int64_t kRowHeaderBytes = 64;

double CeilDiv(double a, double b) { return std::ceil(a / b); }

// Distinct experts that `choices` are expected to touch on the busiest of `ep`
// ranks, the fullest of which holds `local` of `num_experts`: those chosen at
// all lie on the ranks by chance, so that the busiest has more than its share.
double BusiestExperts(double num_experts, double local, double ep,
                      double choices, double imbalance) {
  if (choices <= 0) return 0;
  const double chosen =
      num_experts * (1 - std::pow(1 - 1 / num_experts, choices));
  const double share = chosen / num_experts;
  const double variance = num_experts == 1
                              ? 0
                              : local * share * (1 - share) *
                                    (num_experts - local) / (num_experts - 1);
  const double busiest =
      imbalance * local * share + std::sqrt(2 * variance * std::log(ep));
  return std::clamp(busiest, 1.0, local);
}

// What the fullest of `degree` ranks has of a weight that is partitioned over
// them. (Of a vocabulary with its padding, as if it were spread evenly.)
double ElementsOnFullestRank(const ModelConfig& config,
                             const WeightSpec& weight, double degree) {
  const auto elements = static_cast<double>(weight.num_elements());
  switch (weight.partition) {
    case WeightPartition::kReplicated:
    case WeightPartition::kFirstRank:
      return elements;
    case WeightPartition::kVocabularyRows:
      return CeilDiv(weight.dims[0], degree) * weight.dims[1];
    case WeightPartition::kQkvRows: {
      const AttentionConfig& a = config.layers[weight.layer].attention;
      // Fewer heads of keys and values than ranks are held by several.
      const double heads =
          a.num_heads / degree + 2 * CeilDiv(a.num_kv_heads, degree);
      return heads * a.head_dim * weight.dims[1];
    }
    case WeightPartition::kHeadColumns:
    case WeightPartition::kFeatureRows:
    case WeightPartition::kFeatureColumns:
      return elements / degree;
  }
  return elements;
}

}  // namespace

ParallelCost::ParallelCost(const ModelConfig& config, const Topology& topology,
                           const ExchangeCosts& costs,
                           const RankResources& rank, int tensor_degree)
    : config_(config),
      inventory_(config),
      topology_(topology),
      costs_(costs),
      rank_(rank),
      tensor_degree_(tensor_degree),
      data_degree_(topology.world_size() / tensor_degree),
      rows_(CeilDiv(static_cast<double>(rank.decode_batch), data_degree_)) {}

ParallelCost::Peers ParallelCost::PeersInRunsOf(int size) const {
  Peers worst = {size - 1, 0};
  for (int rank = 0; rank < topology_.world_size(); ++rank) {
    const int begin = rank - rank % size;
    int near = -1;  // not itself
    for (int other = begin; other < begin + size; ++other) {
      near += topology_.node_of(other) == topology_.node_of(rank) ? 1 : 0;
    }
    if (near < worst.near) worst = {near, size - 1 - near};
  }
  return worst;
}

absl::Duration ParallelCost::ReadTime(double parameters, double rows) const {
  const double bytes = parameters * SizeOf(rank_.weight_dtype);
  return absl::Seconds(
      std::max(bytes / rank_.read_bytes_per_second,
               2 * parameters * rows / rank_.flops_per_second));
}

double ParallelCost::PackedElements(const std::vector<WeightSpec>& weights,
                                    int degree) const {
  double elements = 0;
  for (const WeightSpec& weight : weights) {
    if (weight.kind != WeightKind::kMatrix) continue;
    elements += ElementsOnFullestRank(config_, weight, degree);
  }
  return elements;
}

ParallelCostPart ParallelCost::Shared() const {
  const ModelConfig& c = config_;
  const double hidden = c.hidden_size, degree = tensor_degree_;
  // Of the vocabulary's matrix the real entries alone are packed.
  const double output = CeilDiv(c.vocab_size, degree) * hidden;

  const Peers peers = PeersInRunsOf(tensor_degree_);
  const absl::Duration sum = PredictAllReduce(costs_, peers.near, peers.far,
                                              rows_ * hidden * sizeof(float));

  PlanPrediction p;
  double parameters = output;
  for (const WeightSpec& table : inventory_.before_layers()) {
    parameters += ElementsOnFullestRank(c, table, tensor_degree_);
  }
  p.weights = ReadTime(output, rows_);
  p.reduce = sum;     // of the embeddings
  double cached = 0;  // keys and values of a token
  for (size_t l = 0; l < c.layers.size(); ++l) {
    const AttentionConfig& attention = c.layers[l].attention;
    cached += CeilDiv(attention.num_kv_heads, degree) * attention.head_dim;
    const LayerWeights& weights = inventory_.layers()[l];
    for (const auto* part : {&weights.attention, &weights.mlp}) {
      const double elements = PackedElements(*part, tensor_degree_);
      if (elements == 0) continue;  // a norm alone
      p.weights += ReadTime(elements, rows_);
      p.reduce += sum;
      parameters += elements;
    }
  }
  const int world = topology_.world_size();
  const int near = static_cast<int>(topology_.ranks_on(0).size()) - 1;
  p.logits =
      PredictMessages(costs_, near, world - 1 - near,
                      rows_ * CeilDiv(c.vocab_size, degree) * sizeof(float));
  p.weight_bytes =
      static_cast<int64_t>(parameters * SizeOf(rank_.weight_dtype));
  const int64_t tokens =
      rank_.cache_tokens > 0 ? rank_.cache_tokens : c.max_positions;
  p.cache_bytes = static_cast<int64_t>(2.0 * sizeof(float) * cached * tokens);
  return {p};
}

ExchangeShape ParallelCost::ShapeOf(const ExpertPlacement& placement) const {
  // One shape for all groups; where they differ, or lie unevenly, all messages
  // count as if they left the node.
  std::optional<NodeShape> common;
  for (int r = 0; r < topology_.world_size(); ++r) {
    if (placement.expert_rank(r) != 0) continue;  // one of each group
    const std::vector<int> group = placement.ExpertGroup(r);
    const absl::StatusOr<NodeShape> shape = topology_.ShapeOf(group);
    if (!shape.ok() ||
        (common.has_value() && common->num_nodes != shape->num_nodes)) {
      common = {placement.expert_degree(), 1};
      break;
    }
    common = *shape;
  }
  return {*common,
          std::min(placement.expert_degree(),
                   std::max(1, tensor_degree_ / placement.slice_degree()))};
}

std::optional<ParallelCostPart> ParallelCost::MoeLayer(
    const MoeLayerDegrees& degrees, std::optional<ExchangeKind> pinned) const {
  const ModelConfig& c = config_;
  const int ep = degrees.expert_degree, es = degrees.slice_degree;
  const ExpertPlacement placement(topology_.world_size(), degrees);
  const MoeConfig& moe = c.layers[degrees.layer].moe();
  const double hidden = c.hidden_size, top_k = moe.top_k;
  // Rows that the experts of one copy see, and the data ranks they come from.
  const double sources = std::max(1, ep * es / tensor_degree_);
  const double choices =
      top_k * std::min<double>(rows_ * sources, rank_.decode_batch);

  ParallelCostPart part;
  PlanPrediction& p = part.prediction;
  part.local_experts = placement.NumExpertsOn(0);
  const LayerWeights& weights = inventory_.layers()[degrees.layer];
  const double expert = PackedElements(weights.expert, es);
  const double busiest = BusiestExperts(degrees.num_experts, part.local_experts,
                                        ep, choices, costs_.imbalance);
  const double rows_each = choices / std::min<double>(ep, degrees.num_experts) *
                           costs_.imbalance / busiest;
  p.weights = busiest * ReadTime(expert, rows_each);
  p.weight_bytes = static_cast<int64_t>(
      part.local_experts * expert * SizeOf(rank_.weight_dtype) +
      weights.gate[0].num_elements() * sizeof(float));

  // Slices beyond the tensor group first gather each other's rows.
  const double gathered = std::max(1, es / tensor_degree_);
  if (es > 1) {
    const Peers peers = PeersInRunsOf(es);
    p.reduce += PredictAllReduce(costs_, peers.near, peers.far,
                                 choices / ep * hidden * sizeof(float));
    if (gathered > 1) {
      p.reduce += PredictAllGather(costs_, peers.near, peers.far,
                                   es * rows_ * hidden * sizeof(float));
    }
  }
  if (ep == 1) {
    if (pinned.has_value() && *pinned != ExchangeKind::kFlat &&
        *pinned != ExchangeKind::kReplicated) {
      return std::nullopt;
    }
    return part;
  }
  const ExchangeShape shape = ShapeOf(placement);
  const ExchangeLoad load = {
      static_cast<int64_t>(rows_ * gathered), moe.top_k,
      static_cast<int64_t>(hidden * sizeof(float)) + kRowHeaderBytes};
  bool found = false;
  for (const ExchangeKind kind :
       {ExchangeKind::kFlat, ExchangeKind::kHierarchical,
        ExchangeKind::kCoordinated, ExchangeKind::kReplicated}) {
    if (!ExchangeKindApplies(kind, shape)) continue;
    if (pinned.has_value() && kind != *pinned) continue;
    const absl::Duration time = PredictExchange(kind, costs_, shape, load).time;
    if (found && time >= p.exchange) continue;
    found = true;
    p.exchange = time;
    part.exchange = kind;
  }
  if (!found) return std::nullopt;
  if (shape.nodes.num_nodes > 1 && moe.has_residual_mlp()) {
    const double residual = PackedElements(weights.mlp, tensor_degree_);
    p.exchange -= std::min(p.exchange, ReadTime(residual, rows_));
  }
  return part;
}

}  // namespace moe

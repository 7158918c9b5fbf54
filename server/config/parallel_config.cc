#include "server/config/parallel_config.h"

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// The largest number of ranks.
constexpr int64_t kMaxRanks = 65536;
constexpr int64_t kMaxDecodeBatch = 1 << 20;
// Bounds of rates, per second.
constexpr double kMinRate = 1e3;
constexpr double kMaxRate = 1e18;

absl::StatusOr<std::vector<MoeDegreesOption>> ReadMoeLayers(
    const ConfigSection& section) {
  std::vector<MoeDegreesOption> layers;
  for (const ConfigSection& entry : section.NestedEach("moe_layers")) {
    MoeDegreesOption degrees;
    if (!entry.Has("layer")) {
      return entry.Error("layer",
                         "is required: the layer's index in the model");
    }
    ASSIGN_OR_RETURN(degrees.layer, entry.Integer("layer", 0, 0, kMaxRanks));
    ASSIGN_OR_RETURN(degrees.expert_degree,
                     entry.Integer("expert_degree", 0, 1, kMaxRanks));
    ASSIGN_OR_RETURN(degrees.slice_degree,
                     entry.Integer("slice_degree", 0, 1, kMaxRanks));
    for (const MoeDegreesOption& earlier : layers) {
      if (earlier.layer == degrees.layer) {
        return entry.Error("layer", absl::StrCat("is ", degrees.layer,
                                                 ", as in an entry before"));
      }
    }
    layers.push_back(degrees);
  }
  return layers;
}

absl::StatusOr<std::optional<absl::Duration>> ReadTime(
    const ConfigSection& section, const std::string& field) {
  if (section.String(field).empty()) return std::nullopt;
  return section.Duration(field, absl::ZeroDuration(), absl::ZeroDuration(),
                          absl::Seconds(10));
}

absl::StatusOr<LinkCostOptions> ReadLinkCosts(const ConfigSection& section) {
  LinkCostOptions link;
  ASSIGN_OR_RETURN(link.latency, ReadTime(section, "latency"));
  ASSIGN_OR_RETURN(link.per_message, ReadTime(section, "per_message"));
  ASSIGN_OR_RETURN(link.bytes_per_second,
                   section.Double("bytes_per_second", kMinRate, kMaxRate));
  return link;
}

absl::StatusOr<CostOptions> ReadCosts(const ConfigSection& section) {
  CostOptions costs;
  ASSIGN_OR_RETURN(costs.in_node, ReadLinkCosts(section.Nested("in_node")));
  ASSIGN_OR_RETURN(costs.across, ReadLinkCosts(section.Nested("across")));
  ASSIGN_OR_RETURN(costs.copy_bytes_per_second,
                   section.Double("copy_bytes_per_second", kMinRate, kMaxRate));
  ASSIGN_OR_RETURN(costs.read_bytes_per_second,
                   section.Double("read_bytes_per_second", kMinRate, kMaxRate));
  ASSIGN_OR_RETURN(costs.flops_per_second,
                   section.Double("flops_per_second", kMinRate, kMaxRate));
  return costs;
}

std::optional<ExchangeKind> ReadExchange(config::Parallel::Exchange exchange) {
  switch (exchange) {
    case config::Parallel::FLAT:
      return ExchangeKind::kFlat;
    case config::Parallel::HIERARCHICAL:
      return ExchangeKind::kHierarchical;
    case config::Parallel::COORDINATED:
      return ExchangeKind::kCoordinated;
    case config::Parallel::REPLICATED:
      return ExchangeKind::kReplicated;
    default:
      return std::nullopt;
  }
}

// Checks that world_size, nodes and node_shape fit each other. CheckParallel
// checks them against the model.
absl::Status CheckWorld(const ParallelConfig& parallel,
                        const ConfigSection& section) {
  const int world = parallel.world_size;
  if (parallel.options.nodes.has_value()) {
    const NodeShape& shape = *parallel.options.nodes;
    const int64_t ranks = int64_t{shape.num_nodes} * shape.ranks_per_node;
    const auto fail = [&](absl::string_view why) {
      return section.Error(
          "node_shape",
          absl::StrCat("is \"", shape.num_nodes, "x", shape.ranks_per_node,
                       "\", which is ", ranks, " ranks; ", why));
    };
    if (ranks > kMaxRanks) {
      return fail(absl::StrCat("there can be ", kMaxRanks));
    }
    if (world > 0 && ranks != world) {
      return fail(absl::StrCat("parallel.world_size is ", world));
    }
  }
  if (world > 0 && parallel.nodes > world) {
    return section.Error("nodes",
                         absl::StrCat("is ", parallel.nodes,
                                      ", more machines than there are ranks: "
                                      "parallel.world_size is ",
                                      world));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ParallelConfig> ReadParallel(const config::Parallel& proto,
                                            const ConfigSection& section) {
  ParallelConfig out;
  ParallelOptions& parallel = out.options;
  ASSIGN_OR_RETURN(out.world_size,
                   section.Integer("world_size", 0, 1, kMaxRanks));
  ASSIGN_OR_RETURN(out.nodes, section.Integer("nodes", 0, 1, kMaxRanks));
  ASSIGN_OR_RETURN(parallel.tensor_degree,
                   section.Integer("tensor_degree", 0, 1, kMaxRanks));
  ASSIGN_OR_RETURN(parallel.expert_degree,
                   section.Integer("expert_degree", 0, 1, kMaxRanks));
  ASSIGN_OR_RETURN(parallel.slice_degree,
                   section.Integer("slice_degree", 0, 1, kMaxRanks));
  ASSIGN_OR_RETURN(parallel.layers, ReadMoeLayers(section));
  parallel.exchange = ReadExchange(proto.exchange());
  ASSIGN_OR_RETURN(parallel.decode_batch,
                   section.Integer("decode_batch", parallel.decode_batch, 1,
                                   kMaxDecodeBatch));
  ASSIGN_OR_RETURN(parallel.costs, ReadCosts(section.Nested("costs")));
  if (section.Has("node_shape")) {
    const auto shape = ParseNodeShape(proto.node_shape());
    if (!shape.ok()) {
      return section.Error(
          "node_shape", absl::StrCat("is \"", proto.node_shape(),
                                     "\"; it must be \"NxG\", such as \"4x2\" "
                                     "for 4 machines with 2 ranks each"));
    }
    parallel.nodes = *shape;
  }
  ASSIGN_OR_RETURN(out.connect_timeout,
                   section.Duration("connect_timeout", out.connect_timeout,
                                    absl::Seconds(1), absl::Hours(1)));
  ASSIGN_OR_RETURN(parallel.start_timeout,
                   section.Duration("start_timeout", parallel.start_timeout,
                                    absl::Seconds(1), absl::Hours(24)));
  ASSIGN_OR_RETURN(parallel.step_timeout,
                   section.Duration("step_timeout", parallel.step_timeout,
                                    absl::Seconds(1), absl::Hours(24)));
  ASSIGN_OR_RETURN(parallel.watchdog,
                   section.Duration("watchdog", parallel.watchdog,
                                    absl::Seconds(1), absl::Hours(1)));
  RETURN_IF_ERROR(CheckWorld(out, section));
  return out;
}

}  // namespace moe

#include "tools/client/rank_tables.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace moe::client {
namespace {

constexpr double kMebibyte = 1 << 20;

// "in step".
std::string StateName(v1::Rank::State state) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(v1::Rank::State_Name(state)),
                             {{"_", " "}});
}

}  // namespace

std::string RankTable(const v1::GetRanksResponse& response) {
  size_t width = 4;
  for (const v1::Rank& rank : response.ranks()) {
    width = std::max(width, rank.host().size());
  }
  std::string table = absl::StrFormat(
      "rank  node  %-*s  %8s  %-8s  %9s  %9s  %8s  %9s  %11s  %9s  %s\n", width,
      "host", "pid", "state", "last step", "heartbeat", "waited", "wait/step",
      "weights MiB", "cache MiB", "threads");
  for (const v1::Rank& rank : response.ranks()) {
    absl::StrAppendFormat(
        &table,
        "%4d  %4d  %-*s  %8d  %-8s  %9s  %7.0fms  %7.1fs  %7.2fms  %11.1f  "
        "%9.1f  %d %s\n",
        rank.rank(), rank.node(), width, rank.host(), rank.pid(),
        StateName(rank.state()),
        rank.has_last_step() ? absl::StrCat(rank.last_step()) : "none",
        rank.heartbeat_age_seconds() * 1e3, rank.exchange_wait_seconds(),
        rank.last_step_exchange_wait_seconds() * 1e3,
        rank.weight_bytes() / kMebibyte, rank.kv_cache_bytes() / kMebibyte,
        rank.threads(), rank.isa());
  }
  return table;
}

std::string ExpertTable(const v1::ExpertLoad& load) {
  if (load.layers().empty()) return "the model has no MoE layers\n";
  std::string table;
  for (const v1::MoeLayerLoad& layer : load.layers()) {
    absl::StrAppendFormat(
        &table,
        "layer %d: largest over mean %.2f by expert, %.2f by rank\n"
        "  tokens by expert  %s\n"
        "  tokens by rank    %s\n",
        layer.layer(), layer.expert_imbalance(), layer.rank_imbalance(),
        absl::StrJoin(layer.tokens_by_expert(), " "),
        absl::StrJoin(layer.tokens_by_rank(), " "));
    if (layer.exchanges().empty()) continue;
    absl::StrAppend(&table, "  exchanges        ");
    for (const auto& exchange : layer.exchanges()) {
      absl::StrAppend(&table, " ", exchange.kind(), " x ", exchange.steps());
    }
    absl::StrAppendFormat(
        &table, "; %d messages, %.1f MiB; waited %.2fs, hidden %.2fs\n",
        layer.messages(), layer.bytes() / kMebibyte, layer.wait_seconds(),
        layer.hidden_seconds());
  }
  return table;
}

std::string ExpertUsageTable(const v1::ExpertUsage& usage) {
  std::string table;
  for (const v1::ExpertUsage::MoeLayer& layer : usage.layers()) {
    absl::StrAppend(&table, "layer ", layer.layer(), ": tokens by expert ",
                    absl::StrJoin(layer.tokens_by_expert(), " "), "\n");
  }
  return table;
}

}  // namespace moe::client

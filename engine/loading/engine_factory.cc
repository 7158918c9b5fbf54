#include "engine/loading/engine_factory.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/config/model_config_names.h"
#include "engine/distributed/driver_executor.h"
#include "engine/distributed/rank_runtime.h"
#include "engine/distributed/worker.h"
#include "engine/loading/progress_reporter.h"
#include "engine/loading/rank_loader.h"
#include "engine/runtime/engine_limits.h"
#include "engine/runtime/engine_log.h"
#include "engine/runtime/local_executor.h"
#include "engine/runtime/model_runner.h"
#include "engine/runtime/threaded_engine.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

void LogLayout(const EngineInfo& info) {
  std::vector<std::string> layers;
  for (const MoeLayerDegrees& layer : info.moe_layers) {
    layers.push_back(absl::StrCat(layer.layer, ":", layer.expert_degree, "x",
                                  layer.slice_degree));
  }
  LogEngineEvent(EngineLogLevel::kInfo, "layout",
                 {{"ranks", static_cast<int64_t>(info.ranks.size())},
                  {"tensor_degree", info.tensor_degree},
                  {"data_degree", info.data_degree},
                  {"expert_x_slice_degrees", absl::StrJoin(layers, ",")}});
  // `parallel` has the form of that section of a configuration.
  LogEngineEvent(EngineLogLevel::kInfo, "layout_costs",
                 {{"parallel", info.costs},
                  {"measured", info.costs_measured},
                  {"measure_seconds", absl::ToDoubleSeconds(info.costs_time)}});
  for (const std::string& reason : info.layout_reasons) {
    LogEngineEvent(EngineLogLevel::kInfo, "layout_reason", {{"why", reason}});
  }
  for (size_t r = 0; r < info.ranks.size(); ++r) {
    const RankInfo& rank = info.ranks[r];
    LogEngineEvent(EngineLogLevel::kInfo, "rank_loaded",
                   {{"rank", static_cast<int64_t>(r)},
                    {"host", rank.host},
                    {"read_bytes", rank.read_bytes},
                    {"weight_bytes", rank.weight_bytes},
                    {"step_bytes", rank.step_bytes},
                    {"threads", rank.num_threads},
                    {"load_seconds", absl::ToDoubleSeconds(rank.load_time)}});
  }
}

// On every rank, since each compares a part of the copies in the files.
void LogCheckpointWarnings(const EngineInfo& info) {
  for (const std::string& warning : info.checkpoint_warnings) {
    LogEngineEvent(EngineLogLevel::kWarning, "checkpoint",
                   {{"warning", warning}});
  }
}

void LogLoaded(const EngineInfo& info, const EngineOptions& options) {
  const ModelConfig& model = info.model;
  LogEngineEvent(
      EngineLogLevel::kInfo, "engine_loaded",
      {{"family", model.family},
       {"checkpoint", info.checkpoint_description},
       {"parameters", info.parameters.total},
       {"active_parameters", info.parameters.active},
       {"layers", model.num_layers()},
       {"hidden", model.hidden_size},
       {"heads", PerLayerText(model,
                              [](const LayerConfig& layer) {
                                return layer.attention.num_heads;
                              })},
       {"vocab", model.vocab_size},
       {"context", model.max_positions},
       {"experts_per_layer", absl::StrJoin(model.experts_per_layer(), ",")},
       {"top_k", model.max_top_k()},
       {"weight_dtype", std::string(DTypeName(info.weight_dtype))},
       {"weight_bytes", info.weight_bytes},
       {"kv_cache_bytes", info.kv_cache_bytes},
       {"kv_cache_automatic", info.kv_cache_automatic ? "true" : "false"},
       {"step_bytes", info.step_bytes},
       {"kv_blocks", info.num_blocks},
       {"block_size", info.block_size},
       {"max_running_sequences", options.max_running_sequences},
       {"threads", info.num_threads},
       {"isa", info.isa},
       {"load_seconds", absl::ToDoubleSeconds(info.load_time)}});
  if (!info.cpu_quota_file.empty()) {
    LogEngineEvent(EngineLogLevel::kInfo, "cpu_quota",
                   {{"cpus", info.cpu_quota},
                    {"file", info.cpu_quota_file},
                    {"threads", info.num_threads}});
  }
  if (info.ranks.size() > 1) LogLayout(info);
  LogCheckpointWarnings(info);
  const int64_t capacity = info.num_blocks * info.block_size;
  if (capacity < model.max_positions) {
    LogEngineEvent(
        EngineLogLevel::kWarning, "kv_cache_below_context",
        {{"kv_cache_tokens", capacity},
         {"context", model.max_positions},
         {"effect", "requests longer than the KV cache are refused"}});
  }
}

StepLink WithReports(StepLink link, RankRuntime* ranks,
                     const LoadedRank& rank) {
  auto reporter = std::make_shared<ProgressReporter>(ranks, rank);
  link.on_step = [reporter](bool in_step, int64_t step_id) {
    reporter->OnStep(in_step, step_id);
  };
  return link;
}

absl::StatusOr<std::unique_ptr<Engine>> MakeEngine(LoadedRank* rank,
                                                   RankRuntime* ranks) {
  EngineParts parts;
  if (rank->groups != nullptr) {
    ASSIGN_OR_RETURN(
        parts.executor,
        DriverExecutor::Create(
            WithReports(rank->link, ranks, *rank), rank->model.get(),
            *std::move(rank->cache), rank->vocab,
            rank->info.data_degree * MaxLogitRows(rank->engine)));
  } else {
    StepLink link;
    if (ranks != nullptr) link = WithReports(link, ranks, *rank);
    parts.executor = std::make_unique<LocalExecutor>(
        rank->model.get(), *std::move(rank->cache), link.on_step);
  }
  parts.ranks = rank->groups;
  parts.threads = std::move(rank->threads);
  parts.stream = std::move(rank->stream);
  parts.model = std::move(rank->model);
  return CreateEngine(std::move(parts), rank->engine);
}

absl::StatusOr<LoadedEngine> LoadAndMakeEngine(const LoadEngineOptions& options,
                                               RankRuntime* ranks,
                                               const LoadProgress& progress) {
  ASSIGN_OR_RETURN(LoadedRank rank, LoadRank(options, ranks, progress));
  LoadedEngine loaded;
  absl::StatusOr<std::unique_ptr<Engine>> engine = MakeEngine(&rank, ranks);
  if (!engine.ok()) {
    // The workers wait for plans already.
    if (rank.groups != nullptr) ranks->Fail(engine.status());
    return engine.status();
  }
  loaded.engine = *std::move(engine);
  LogLoaded(rank.info, rank.engine);
  loaded.info = std::move(rank.info);
  return loaded;
}

}  // namespace

absl::StatusOr<LoadedEngine> LoadEngine(const LoadEngineOptions& options,
                                        const LoadProgress& progress) {
  return LoadAndMakeEngine(options, nullptr, progress);
}

absl::StatusOr<LoadedEngine> LoadEngine(const LoadEngineOptions& options,
                                        RankRuntime& ranks,
                                        const LoadProgress& progress) {
  if (ranks.rank() != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "LoadEngine is for rank 0; rank ", ranks.rank(), " must follow"));
  }
  return LoadAndMakeEngine(options, &ranks, progress);
}

absl::Status RunWorker(const LoadEngineOptions& options, RankRuntime& ranks,
                       const LoadProgress& progress) {
  if (ranks.rank() == 0) {
    return absl::FailedPreconditionError("rank 0 cannot follow itself");
  }
  ASSIGN_OR_RETURN(LoadedRank rank, LoadRank(options, &ranks, progress));
  LogCheckpointWarnings(rank.info);
  absl::StatusOr<Worker> worker =
      Worker::Create(WithReports(rank.link, &ranks, rank), PlanLimits(rank),
                     ModelRunner(rank.model.get(), &*rank.cache, rank.vocab),
                     MaxLogitRows(rank.engine));
  const absl::Status status = worker.ok() ? worker->Run() : worker.status();
  if (status.ok()) return status;
  if (ranks.status().ok()) ranks.Fail(status);
  return status;
}

}  // namespace moe

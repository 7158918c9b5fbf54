#include "engine/loading/rank_loader.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "comm/topology.h"
#include "engine/config/model_config_check.h"
#include "engine/config/model_config_names.h"
#include "engine/config/parameter_count.h"
#include "engine/distributed/launched_process.h"
#include "engine/distributed/rank_agreement.h"
#include "engine/loading/load_checks.h"
#include "engine/loading/open_checkpoint.h"
#include "engine/loading/rank_costs.h"
#include "engine/loading/rank_memory.h"
#include "engine/loading/usable_cpus.h"
#include "engine/models/load_model.h"
#include "engine/parallel/parallel_plan.h"
#include "engine/parallel/rank_shard.h"
#include "engine/runtime/engine_limits.h"
#include "kernels/core/control_groups.h"
#include "kernels/core/cpu_features.h"
#include "kernels/core/cpu_stream.h"
#include "kernels/core/status_macros.h"
#include "kernels/core/steady_clock.h"

namespace moe {
namespace {

// A description of the model that is equal on ranks with the same checkpoint.
std::string DescribeModel(const ModelConfig& model) {
  const auto per_layer = [&](auto number) {
    return PerLayerText(model, number);
  };
  using Layer = const LayerConfig&;
  return absl::StrCat(
      model.family, " of ", model.num_layers(), " layers, hidden size ",
      model.hidden_size, ", ",
      per_layer([](Layer l) { return l.attention.num_heads; }), "/",
      per_layer([](Layer l) { return l.attention.num_kv_heads; }), " heads of ",
      per_layer([](Layer l) { return l.attention.head_dim; }), ", MLPs of ",
      per_layer([](Layer l) { return l.any_mlp().ffn_hidden_size; }),
      ", vocabulary ", model.vocab_size, "/", model.padded_vocab_size,
      ", context ", model.max_positions, ", experts ",
      absl::StrJoin(model.experts_per_layer(), ","), ", top-",
      model.max_top_k());
}

// Builds a LoadedRank in stages. A stage may fail on one rank; the ranks
// exchange their results after a stage.
class RankLoader {
 public:
  RankLoader(const LoadEngineOptions& options, RankRuntime* ranks,
             const LoadProgress& progress)
      : options_(options), ranks_(ranks), progress_(progress) {}

  absl::StatusOr<LoadedRank> Load();

 private:
  bool alone() const { return rank_.groups == nullptr; }

  absl::Status OpenGroups();
  absl::Status Open();          // the checkpoint
  absl::Status CompareRanks();  // checkpoint, memory, CPUs
  absl::Status StartThreads();
  absl::Status PlanLayout();   // collective
  absl::Status LoadWeights();  // collective
  absl::Status SizeKvCache();
  // Exchanges the status of a stage with all ranks; returns an error if it
  // failed on any rank.
  absl::Status Agree(const absl::Status& status);

  const LoadEngineOptions& options_;
  RankRuntime* const ranks_;  // null: one rank
  const LoadProgress& progress_;

  LoadedRank rank_;
  RankReport own_;
  std::vector<RankReport> reports_;  // of all ranks, of the last Agree
  int ranks_on_host_ = 1;            // ranks of this machine
  CpuShare cpu_share_;
  double cpu_quota_ = 0;     // CPUs' time; infinity: none
  int ranks_on_quota_ = 1;   // ranks that share it
  RankResources resources_;  // of all ranks
  std::unique_ptr<Checkpoint> checkpoint_;
  std::optional<ParallelPlan> plan_;
  ModelParallel parallel_;
  std::optional<ModelConfig> local_;  // with this rank's heads
};

absl::StatusOr<LoadedRank> RankLoader::Load() {
  const absl::Time start = SteadyNow();
  RETURN_IF_ERROR(OpenGroups());
  RETURN_IF_ERROR(Agree(Open()));
  // Ranks wait for each other in these stages, so a rank that fails aborts the
  // group at once.
  absl::Status loaded = CompareRanks();
  if (loaded.ok()) loaded = StartThreads();
  if (loaded.ok()) loaded = PlanLayout();
  if (loaded.ok()) loaded = LoadWeights();
  if (!loaded.ok() && !alone()) rank_.groups->loading().Abort(loaded);
  own_.load_seconds = absl::ToDoubleSeconds(SteadyNow() - start);
  RETURN_IF_ERROR(Agree(loaded));
  RETURN_IF_ERROR(Agree(SizeKvCache()));
  for (const RankReport& report : reports_) {
    rank_.engine.num_blocks =
        std::min(rank_.engine.num_blocks, report.num_blocks);
  }
  absl::StatusOr<KvCache> cache =
      KvCache::Create(rank_.model->backend(), *local_, rank_.engine.num_blocks,
                      rank_.engine.block_size);
  RETURN_IF_ERROR(Agree(cache.status()));
  rank_.cache = *std::move(cache);

  EngineInfo& info = rank_.info;
  info.num_blocks = rank_.engine.num_blocks;
  info.block_size = rank_.engine.block_size;
  info.kv_cache_bytes =
      info.num_blocks * KvCache::BlockBytes(*local_, info.block_size);
  info.kv_cache_automatic =
      options_.engine.num_blocks == 0 && options_.kv_cache_bytes == 0;
  info.load_time = SteadyNow() - start;
  for (const RankReport& report : reports_) {
    info.ranks.push_back({report.host, report.read_bytes, report.weight_bytes,
                          report.step_bytes,
                          static_cast<int>(report.num_threads),
                          absl::Seconds(report.load_seconds)});
  }
  if (!alone()) {
    rank_.link = rank_.groups->MakeStepLink(info.tensor_degree, own_.host);
    rank_.groups->ReleaseLoadingGroups();
  }
  return std::move(rank_);
}

absl::Status RankLoader::OpenGroups() {
  own_.host = HostName();
  own_.cpus = UsableCpus();
  const ControlGroupLimits limits = ReadControlGroupLimits();
  cpu_quota_ = limits.cpus;
  own_.cpu_quota_file = limits.cpus_file;
  if (ranks_ == nullptr || ranks_->size() == 1) return absl::OkStatus();
  ASSIGN_OR_RETURN(rank_.groups, RankGroups::Create(ranks_, options_.parallel));
  return absl::OkStatus();
}

absl::Status RankLoader::Agree(const absl::Status& status) {
  if (alone()) {
    reports_ = {own_};
    return status;
  }
  own_.status = status;
  HostCommunicator& all = rank_.groups->start();
  absl::StatusOr<std::vector<RankReport>> reports = ExchangeReports(all, own_);
  if (reports.ok()) {
    reports_ = *std::move(reports);
    return absl::OkStatus();
  }
  if (IsAgreed(reports.status())) {
    // Wait until all ranks have the reports: the exit of one could fail the
    // exchange of another. All return this error even if the wait fails.
    all.Barrier().IgnoreError();
    return reports.status();
  }
  return rank_.groups->FindRootCause(reports.status());
}

absl::Status RankLoader::Open() {
  RETURN_IF_ERROR(CheckLoadOptions(options_));
  CheckpointOptions checkpoint = options_.checkpoint;
  if (ranks_ != nullptr) {
    checkpoint.rank = ranks_->rank();
    checkpoint.num_ranks = ranks_->size();
  }
  ASSIGN_OR_RETURN(checkpoint_,
                   OpenCheckpoint(options_.checkpoint_path, checkpoint));
  RETURN_IF_ERROR(ValidateModelConfig(checkpoint_->config()));
  own_.model = DescribeModel(checkpoint_->config());
  own_.available_bytes = options_.device.backend->AvailableBytes().value_or(0);
  return absl::OkStatus();
}

absl::Status RankLoader::CompareRanks() {
  if (alone()) return absl::OkStatus();
  const int own = ranks_->rank();
  resources_.weight_dtype = options_.weight_dtype;
  resources_.decode_batch = options_.parallel.decode_batch;
  resources_.cache_tokens =
      options_.engine.num_blocks * options_.engine.block_size;
  resources_.memory_bytes = std::numeric_limits<int64_t>::max();
  std::vector<std::vector<int32_t>> cpus;
  int own_index = 0;
  for (int r = 0; r < ranks_->size(); ++r) {
    const RankReport& report = reports_[r];
    if (report.model != reports_[0].model) {
      return absl::FailedPreconditionError(
          absl::StrCat("rank ", r, " on host '", report.host,
                       "' finds another model at ", options_.checkpoint_path,
                       " (", report.model, ") than rank 0 on host '",
                       reports_[0].host, "' (", reports_[0].model, ")"));
    }
    const int64_t ranks_on_host = std::count_if(
        reports_.begin(), reports_.end(),
        [&](const RankReport& other) { return other.host == report.host; });
    resources_.memory_bytes = std::min(resources_.memory_bytes,
                                       report.available_bytes / ranks_on_host);
    if (report.host != own_.host) continue;
    ranks_on_host_ = static_cast<int>(ranks_on_host);
    if (r == own) own_index = static_cast<int>(cpus.size());
    cpus.push_back(report.cpus);
    if (r != own && report.cpu_quota_file == own_.cpu_quota_file) {
      ++ranks_on_quota_;
    }
  }
  cpu_share_ = ShareOfCpus(cpus, own_index);
  return absl::OkStatus();
}

absl::Status RankLoader::StartThreads() {
  const int num_cpus = static_cast<int>(own_.cpus.size());
  const int fair_threads =
      FairThreads(num_cpus, cpu_share_.num_ranks, cpu_quota_, ranks_on_quota_);
  const int num_threads =
      options_.num_threads > 0 ? options_.num_threads : fair_threads;
  std::vector<int32_t> cpus = own_.cpus;
  if (options_.pin_threads && cpu_share_.num_ranks > 1 &&
      num_threads * cpu_share_.num_ranks <= num_cpus) {
    // Ranks with the same CPUs pin their threads to different ones.
    cpus.assign(own_.cpus.begin() + cpu_share_.index * num_threads,
                own_.cpus.begin() + (cpu_share_.index + 1) * num_threads);
  }
  const ScopedCpuBinding binding(cpus);
  absl::StatusOr<std::unique_ptr<ThreadPool>> threads =
      ThreadPool::Create(num_threads, options_.pin_threads);
  if (!threads.ok()) {
    return absl::Status(
        threads.status().code(),
        absl::StrCat("engine.threads is ", num_threads,
                     options_.num_threads > 0 ? "" : " by default", ": ",
                     threads.status().message()));
  }
  rank_.threads = *std::move(threads);
  ASSIGN_OR_RETURN(rank_.stream, options_.device.make_stream(*rank_.threads));
  if (&rank_.stream->backend() != options_.device.backend) {
    return absl::InvalidArgumentError(absl::StrCat(
        "device.make_stream makes streams of ",
        ToString(rank_.stream->device()), ", not of device.backend, which is ",
        ToString(options_.device.backend->device())));
  }
  own_.num_threads = num_threads;
  rank_.info.cpu_quota = cpu_quota_;
  rank_.info.cpu_quota_file = own_.cpu_quota_file;
  return absl::OkStatus();
}

absl::Status RankLoader::PlanLayout() {
  const ModelConfig& model = checkpoint_->config();
  if (alone()) {
    // One rank has one layout; the options may require another.
    RETURN_IF_ERROR(PlanParallel(model, options_.parallel, Topology::OneNode(1),
                                 parallel_.exchange.costs, RankResources())
                        .status());
    local_ = model;
    rank_.vocab = {0, model.vocab_size};
    return CheckWeightsFit(model, CountParameters(model).total,
                           options_.weight_dtype, 1, *options_.device.backend);
  }
  ASSIGN_OR_RETURN(
      const ResolvedCosts found,
      ResolveCosts(options_.parallel.costs, rank_.groups->loading(),
                   ranks_->topology(), options_.weight_dtype, *rank_.threads,
                   *rank_.stream));
  const ExchangeCosts& costs = found.costs.exchange;
  resources_.read_bytes_per_second = found.costs.read_bytes_per_second;
  resources_.flops_per_second = found.costs.flops_per_second;
  ASSIGN_OR_RETURN(plan_, PlanParallel(model, options_.parallel,
                                       ranks_->topology(), costs, resources_));
  ASSIGN_OR_RETURN(parallel_.shard,
                   RankShard::Of(model, plan_->layout, ranks_->rank()));
  RETURN_IF_ERROR(CheckWeightsFit(model, parallel_.shard.CountParameters(model),
                                  options_.weight_dtype, ranks_on_host_,
                                  *options_.device.backend));
  RETURN_IF_ERROR(
      rank_.groups->OpenLayout(plan_->layout, rank_.stream->backend()));
  parallel_.groups = rank_.groups->groups();
  parallel_.loading = &rank_.groups->loading();
  parallel_.exchange.pinned = options_.parallel.exchange;
  parallel_.exchange.costs = costs;
  local_ = parallel_.shard.LocalConfig(model);
  rank_.vocab = parallel_.shard.Vocab(model);
  rank_.info.tensor_degree = plan_->layout.tensor_degree();
  rank_.info.data_degree = plan_->layout.data_degree();
  rank_.info.moe_layers = plan_->moe_layers;
  rank_.info.layout_reasons = plan_->why;
  rank_.info.costs = found.costs.ToText();
  rank_.info.costs_measured = found.measured;
  rank_.info.costs_time = found.time;
  return absl::OkStatus();
}

absl::Status RankLoader::LoadWeights() {
  ModelOptions model_options;
  model_options.weight_dtype = options_.weight_dtype;
  model_options.max_rows = options_.engine.max_step_tokens;
  if (!alone()) model_options.parallel = &parallel_;
  ASSIGN_OR_RETURN(rank_.model,
                   LoadModel(*checkpoint_, model_options, *rank_.stream,
                             [&](int64_t done_bytes, int64_t total_bytes) {
                               if (progress_)
                                 progress_(done_bytes, total_bytes);
                             }));
  EngineInfo& info = rank_.info;
  info.model = rank_.model->config();
  info.parameters = CountParameters(info.model);
  info.weight_bytes = rank_.model->weight_bytes();
  info.weight_dtype = options_.weight_dtype;
  info.num_threads = static_cast<int>(own_.num_threads);
  info.isa = ChosenIsa();
  info.checkpoint_description = checkpoint_->Description();
  info.checkpoint_warnings = checkpoint_->warnings();
  own_.read_bytes = checkpoint_->bytes_read();
  own_.weight_bytes = info.weight_bytes;
  // The packed weights are copies. Unmap the files before the available memory
  // is measured.
  checkpoint_.reset();
  return absl::OkStatus();
}

absl::Status RankLoader::SizeKvCache() {
  rank_.engine = options_.engine;
  const ModelConfig& model = rank_.info.model;
  StepSize step;
  step.max_rows = rank_.engine.max_step_tokens;
  step.max_logit_rows = MaxLogitRows(rank_.engine);
  if (alone()) {
    own_.step_bytes = MaxStepBytes(model, RankShard::Whole(model), {}, step);
  } else {
    step.data_degree = plan_->layout.data_degree();
    step.gathers_logits = ranks_->rank() == 0;
    step.pinned_exchange = options_.parallel.exchange;
    const Topology& topology = ranks_->topology();
    step.num_nodes = topology.num_nodes();
    for (int node = 0; node < topology.num_nodes(); ++node) {
      step.ranks_per_node =
          std::max(step.ranks_per_node,
                   static_cast<int>(topology.ranks_on(node).size()));
    }
    own_.step_bytes =
        MaxStepBytes(model, parallel_.shard, plan_->moe_layers, step);
  }
  rank_.info.step_bytes = own_.step_bytes;
  ASSIGN_OR_RETURN(
      own_.num_blocks,
      ChooseNumBlocks(options_, *local_, ranks_on_host_, own_.step_bytes));
  rank_.engine.num_blocks = own_.num_blocks;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LoadedRank> LoadRank(const LoadEngineOptions& options,
                                    RankRuntime* ranks,
                                    const LoadProgress& progress) {
  if (ranks != nullptr) {
    RankProgress loading;
    loading.state = RankState::kLoading;
    ranks->ReportProgress(loading);
  }
  return RankLoader(options, ranks, progress).Load();
}

StepPlanLimits PlanLimits(const LoadedRank& rank) {
  StepPlanLimits limits;
  limits.data_degree = rank.info.data_degree;
  limits.max_rows = rank.engine.max_step_tokens;
  limits.max_positions = rank.info.model.max_positions;
  limits.vocab_size = rank.info.model.vocab_size;
  limits.num_blocks = rank.engine.num_blocks;
  limits.block_size = rank.engine.block_size;
  return limits;
}

}  // namespace moe

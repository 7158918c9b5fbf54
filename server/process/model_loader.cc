#include "server/process/model_loader.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "engine/loading/load_checks.h"
#include "engine/loading/open_checkpoint.h"
#include "engine/parallel/parallel_check.h"
#include "kernels/core/status_macros.h"
#include "kernels/core/steady_clock.h"
#include "server/logging/log.h"
#include "server/text/load_tokenizer.h"

namespace moe {
namespace {

constexpr double kMebibyte = 1 << 20;
constexpr absl::Duration kProgressInterval = absl::Seconds(2);

absl::Status Annotate(const absl::Status& status, absl::string_view what) {
  return absl::Status(status.code(),
                      absl::StrCat(what, ": ", status.message()));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> OpenTokenizer(
    const ServerConfig& config) {
  if (config.tokenizer_path.empty()) return nullptr;
  auto tokenizer = LoadTokenizer(config.tokenizer_path);
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), "model.tokenizer");
  return tokenizer;
}

// The engine's options of the configuration; the tokenizer supplies the
// end-of-text tokens and the vocabulary's size if they are not set.
LoadEngineOptions EngineOptionsWith(const ServerConfig& config,
                                    const Tokenizer* tokenizer) {
  LoadEngineOptions options = config.engine;
  if (config.eos_token_ids.has_value()) {
    options.engine.eos_token_ids = *config.eos_token_ids;
  } else if (tokenizer != nullptr) {
    const absl::Span<const int32_t> eos = tokenizer->eos_ids();
    options.engine.eos_token_ids.assign(eos.begin(), eos.end());
  }
  if (tokenizer != nullptr && options.checkpoint.vocab_size == 0) {
    options.checkpoint.vocab_size = tokenizer->vocab_size();
    options.checkpoint.vocab_size_source =
        absl::StrCat("the tokenizer ", config.tokenizer_path);
  }
  return options;
}

// Logs the progress of loading, at most once per kProgressInterval.
LoadProgress LogProgress() {
  return [last = SteadyNow()](int64_t done, int64_t total) mutable {
    const absl::Time now = SteadyNow();
    if (now - last < kProgressInterval) return;
    last = now;
    Log(Severity::kInfo, "loading",
        {{"done_mib", done / kMebibyte},
         {"total_mib", total / kMebibyte},
         {"percent", total > 0 ? 100.0 * done / total : 100.0}});
  };
}

// parallel.moe_layers may name only layers with experts.
absl::Status CheckMoeLayers(const ParallelOptions& parallel,
                            const ModelConfig& model) {
  for (const MoeDegreesOption& option : parallel.layers) {
    const auto fail = [&](absl::string_view why) {
      return absl::InvalidArgumentError(
          absl::StrCat("parallel.moe_layers: layer is ", option.layer, why));
    };
    if (option.layer >= model.num_layers()) {
      return fail(
          absl::StrCat("; the model has layers 0 to ", model.num_layers() - 1));
    }
    if (!model.is_moe_layer(option.layer)) {
      return fail(", which has no experts");
    }
  }
  return absl::OkStatus();
}

// Checks that the configured number of ranks can hold the model as configured.
absl::Status CheckWorld(const ServerConfig& config, const ModelConfig& model) {
  if (config.world_size == 0) return absl::OkStatus();
  const absl::StatusOr<std::string> checked = CheckParallel(
      model, config.engine.parallel, config.world_size, config.nodes);
  if (!checked.ok()) {
    return Annotate(checked.status(), absl::StrCat("parallel, of world_size ",
                                                   config.world_size));
  }
  if (!checked->empty()) {
    Log(Severity::kWarning, "machines_decide",
        {{"message", absl::StrCat("whether the layout is possible depends on "
                                  "the machines: ",
                                  *checked)}});
  }
  return absl::OkStatus();
}

// Warns if the tokenizer has tokens that the model's vocabulary lacks.
void WarnOfVocabulary(const Tokenizer* tokenizer, const ModelConfig& model) {
  if (tokenizer == nullptr || tokenizer->vocab_size() <= model.vocab_size) {
    return;
  }
  Log(Severity::kWarning, "small_vocabulary",
      {{"vocab_size", model.vocab_size},
       {"tokenizer_vocab_size", tokenizer->vocab_size()},
       {"message",
        "text with tokens that the model's vocabulary lacks will be refused: "
        "is model.checkpoint.vocab_size right, and the tokenizer the "
        "model's?"}});
}

// The engine itself has logged event=engine_loaded.
void LogServed(const ServerConfig& config, const Engine& engine) {
  Log(Severity::kInfo, "model_ready",
      {{"model", config.model_name},
       {"tokenizer",
        config.tokenizer_path.empty() ? "none" : config.tokenizer_path},
       {"eos_token_ids", absl::StrJoin(engine.options().eos_token_ids, ",")},
       {"max_positions", MaxSequenceTokens(engine)}});
}

}  // namespace

absl::StatusOr<LoadedModel> LoadServedModel(const ServerConfig& config,
                                            RankRuntime& ranks) {
  LoadedModel loaded;
  ASSIGN_OR_RETURN(loaded.tokenizer, OpenTokenizer(config));
  const LoadEngineOptions options =
      EngineOptionsWith(config, loaded.tokenizer.get());
  Log(Severity::kInfo, "loading",
      {{"model", config.model_name}, {"path", options.checkpoint_path}});
  ASSIGN_OR_RETURN(LoadedEngine engine,
                   LoadEngine(options, ranks, LogProgress()));
  LogServed(config, *engine.engine);
  WarnOfVocabulary(loaded.tokenizer.get(), engine.info.model);
  loaded.engine = std::move(engine.engine);
  loaded.served.name = config.model_name;
  loaded.served.engine = loaded.engine.get();
  loaded.served.tokenizer = loaded.tokenizer.get();
  loaded.served.defaults = config.sampling_defaults;
  loaded.served.limits = config.limits;
  loaded.served.info = std::move(engine.info);
  loaded.served.ranks = &ranks;
  return loaded;
}

absl::Status RunModelWorker(const ServerConfig& config, RankRuntime& ranks) {
  // The options depend on the tokenizer and must be equal on all ranks.
  ASSIGN_OR_RETURN(const auto tokenizer, OpenTokenizer(config));
  return RunWorker(EngineOptionsWith(config, tokenizer.get()), ranks,
                   LogProgress());
}

absl::Status CheckModelFiles(const ServerConfig& config) {
  ASSIGN_OR_RETURN(const auto tokenizer, OpenTokenizer(config));
  const LoadEngineOptions options = EngineOptionsWith(config, tokenizer.get());
  const auto checkpoint =
      OpenCheckpoint(options.checkpoint_path, options.checkpoint);
  if (!checkpoint.ok()) return Annotate(checkpoint.status(), "model.path");
  const ModelConfig& model = (*checkpoint)->config();
  RETURN_IF_ERROR(CheckMoeLayers(options.parallel, model));
  RETURN_IF_ERROR(CheckWorld(config, model));
  WarnOfVocabulary(tokenizer.get(), model);
  return CheckOptionsForModel(options, model);
}

}  // namespace moe

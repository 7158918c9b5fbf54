#include "engine/runtime/engine_factory.h"

#include <sched.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "engine/cache/kv_cache.h"
#include "engine/models/model.h"
#include "engine/runtime/engine_log.h"
#include "engine/runtime/engine_parts.h"
#include "engine/runtime/memory_budget.h"
#include "engine/runtime/request_validation.h"
#include "kernels/core/cpu_features.h"
#include "kernels/core/status_macros.h"
#include "kernels/core/stream.h"
#include "kernels/core/thread_pool.h"

namespace moe {
namespace {

constexpr int kMaxThreads = 1024;

int NumUsableCpus() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return 1;
  return std::max(1, CPU_COUNT(&allowed));
}

absl::Status ValidateOptions(const LoadEngineOptions& options) {
  if (options.num_threads < 0 || options.num_threads > kMaxThreads) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_threads is ", options.num_threads,
                     "; it must be in [0, ", kMaxThreads, "]"));
  }
  if (options.kv_cache_bytes < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("kv_cache_bytes is ", options.kv_cache_bytes,
                     "; it must be at least 0 (0: automatic)"));
  }
  if (options.engine.num_blocks < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_blocks is ", options.engine.num_blocks,
                     "; it must be at least 0 (0: by kv_cache_bytes)"));
  }
  // The rest is checked with the model at hand; the number of blocks is not
  // known yet.
  EngineOptions engine = options.engine;
  engine.num_blocks = std::max<int64_t>(engine.num_blocks, 1);
  engine.eos_token_ids.clear();
  return ValidateEngineOptions(engine, ModelConfig());
}

// The kernel promises more memory than there is and kills who uses it: what
// cannot fit is refused before. Where nobody tells how much there is, only
// trying shows it.
absl::Status CheckMemory(absl::string_view what, double needed,
                         absl::string_view advice) {
  const absl::StatusOr<int64_t> available = AvailableMemoryBytes();
  if (!available.ok() || needed <= static_cast<double>(*available)) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrFormat("%s needs %.0f bytes of memory, %d are available: %s",
                      what, needed, *available, advice));
}

absl::Status CheckWeightsFit(const ModelConfig& model, DType dtype) {
  // Rotary angles are the one table whose size no file vouches for.
  const double rotary = model.position == PositionKind::kRotary
                            ? static_cast<double>(model.max_positions) *
                                  static_cast<double>(model.rotary_dim + 1) *
                                  static_cast<double>(sizeof(float))
                            : 0.0;
  return CheckMemory(absl::StrCat("the model as ", DTypeName(dtype)),
                     static_cast<double>(CountParameters(model).total) *
                             static_cast<double>(SizeOf(dtype)) +
                         rotary,
                     "serve a smaller one, or weights of fewer bits");
}

// To be called when the weights are in place.
absl::StatusOr<int64_t> ChooseNumBlocks(const LoadEngineOptions& options,
                                        const ModelConfig& model) {
  const EngineOptions& engine = options.engine;
  const int64_t block_bytes = KvCache::BlockBytes(model, engine.block_size);
  if (engine.num_blocks > 0) {
    RETURN_IF_ERROR(CheckMemory("a KV cache of num_blocks",
                                static_cast<double>(engine.num_blocks) *
                                    static_cast<double>(block_bytes),
                                "ask for fewer"));
    return engine.num_blocks;
  }
  if (options.kv_cache_bytes > 0) {
    RETURN_IF_ERROR(CheckMemory("a KV cache of kv_cache_bytes",
                                static_cast<double>(options.kv_cache_bytes),
                                "ask for less, or leave the field out"));
    if (options.kv_cache_bytes < block_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("kv_cache_bytes is ", options.kv_cache_bytes,
                       "; one block of this model needs ", block_bytes));
    }
    return options.kv_cache_bytes / block_bytes;
  }
  ASSIGN_OR_RETURN(const int64_t available, AvailableMemoryBytes());
  const int64_t affordable = static_cast<int64_t>(
      kAutomaticKvFraction * static_cast<double>(available) /
      static_cast<double>(block_bytes));
  const int64_t blocks_per_context =
      (model.max_positions + engine.block_size - 1) / engine.block_size;
  if (affordable < 1) {
    return absl::ResourceExhaustedError(
        absl::StrCat("only ", available,
                     " bytes of memory are available beside the weights; one "
                     "KV cache block needs ",
                     block_bytes));
  }
  return std::min(affordable,
                  blocks_per_context * engine.max_running_sequences);
}

void LogLoaded(const EngineInfo& info, const EngineOptions& options) {
  const ModelConfig& model = info.model;
  LogEngineEvent(
      EngineLogLevel::kInfo, "engine_loaded",
      {{"family", model.family},
       {"checkpoint", info.checkpoint_description},
       {"parameters", absl::StrCat(info.parameters.total)},
       {"active_parameters", absl::StrCat(info.parameters.active)},
       {"layers", absl::StrCat(model.num_layers)},
       {"hidden", absl::StrCat(model.hidden_size)},
       {"heads", absl::StrCat(model.num_heads)},
       {"vocab", absl::StrCat(model.vocab_size)},
       {"context", absl::StrCat(model.max_positions)},
       {"experts_per_layer", absl::StrJoin(model.experts_per_layer, ",")},
       {"top_k", absl::StrCat(model.top_k)},
       {"weight_dtype", std::string(DTypeName(info.weight_dtype))},
       {"weight_bytes", absl::StrCat(info.weight_bytes)},
       {"kv_cache_bytes", absl::StrCat(info.kv_cache_bytes)},
       {"kv_cache_automatic", info.kv_cache_automatic ? "true" : "false"},
       {"kv_blocks", absl::StrCat(info.num_blocks)},
       {"block_size", absl::StrCat(info.block_size)},
       {"max_running_sequences", absl::StrCat(options.max_running_sequences)},
       {"threads", absl::StrCat(info.num_threads)},
       {"isa", info.isa},
       {"load_seconds", absl::StrCat(absl::ToDoubleSeconds(info.load_time))}});
  for (const std::string& warning : info.checkpoint_warnings) {
    LogEngineEvent(EngineLogLevel::kWarning, "checkpoint",
                   {{"warning", warning}});
  }
  const int64_t capacity = info.num_blocks * info.block_size;
  if (capacity < model.max_positions) {
    LogEngineEvent(
        EngineLogLevel::kWarning, "kv_cache_below_context",
        {{"kv_cache_tokens", absl::StrCat(capacity)},
         {"context", absl::StrCat(model.max_positions)},
         {"effect", "requests longer than the KV cache are refused"}});
  }
}

}  // namespace

absl::StatusOr<LoadedEngine> LoadEngine(const LoadEngineOptions& options,
                                        const LoadProgress& progress) {
  const absl::Time start = absl::Now();
  RETURN_IF_ERROR(ValidateOptions(options));
  ASSIGN_OR_RETURN(std::unique_ptr<Checkpoint> checkpoint,
                   OpenCheckpoint(options.checkpoint_path, options.checkpoint));
  RETURN_IF_ERROR(CheckWeightsFit(checkpoint->config(), options.weight_dtype));

  EngineParts parts;
  const int num_threads =
      options.num_threads > 0 ? options.num_threads : NumUsableCpus();
  parts.threads =
      std::make_unique<ThreadPool>(num_threads, options.pin_threads);
  parts.stream = std::make_unique<CpuStream>(*parts.threads);
  ModelOptions model_options;
  model_options.weight_dtype = options.weight_dtype;
  model_options.max_rows = options.engine.max_step_tokens;
  ASSIGN_OR_RETURN(parts.model,
                   LoadModel(*checkpoint, model_options, *parts.stream,
                             [&](int64_t done_bytes, int64_t total_bytes) {
                               if (progress) progress(done_bytes, total_bytes);
                             }));

  EngineInfo info;
  info.model = parts.model->config();
  info.parameters = CountParameters(info.model);
  info.weight_bytes = parts.model->weight_bytes();
  info.weight_dtype = options.weight_dtype;
  info.num_threads = num_threads;
  info.isa = ChosenIsa();
  info.checkpoint_description = checkpoint->Description();
  info.checkpoint_warnings = checkpoint->warnings();
  // The packed weights are copies: let go of the files before memory is
  // counted.
  checkpoint.reset();

  EngineOptions engine_options = options.engine;
  ASSIGN_OR_RETURN(engine_options.num_blocks,
                   ChooseNumBlocks(options, info.model));
  info.num_blocks = engine_options.num_blocks;
  info.block_size = engine_options.block_size;
  info.kv_cache_bytes =
      info.num_blocks * KvCache::BlockBytes(info.model, info.block_size);
  info.kv_cache_automatic =
      options.engine.num_blocks == 0 && options.kv_cache_bytes == 0;
  LoadedEngine loaded;
  ASSIGN_OR_RETURN(loaded.engine,
                   CreateEngine(std::move(parts), engine_options));
  info.load_time = absl::Now() - start;
  LogLoaded(info, engine_options);
  loaded.info = std::move(info);
  return loaded;
}

}  // namespace moe

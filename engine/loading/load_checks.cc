#include "engine/loading/load_checks.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "engine/cache/kv_cache.h"
#include "engine/runtime/request_validation.h"
#include "kernels/core/available_memory.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr int kMaxThreads = 1024;

// " (the limit ...)", or "" where no limit of the process applies.
std::string MemoryLimit(const DeviceBackend& backend) {
  if (backend.device() != Device{}) return "";
  const std::string limit = DescribeHostMemoryLimit();
  return limit.empty() ? "" : absl::StrCat(" (", limit, ")");
}

// Each of `ranks_on_host` ranks of this machine needs as much.
absl::Status CheckMemory(const DeviceBackend& backend, absl::string_view what,
                         double needed, int ranks_on_host,
                         absl::string_view advice) {
  const absl::StatusOr<int64_t> available = backend.AvailableBytes();
  if (!available.ok() ||
      needed * ranks_on_host <= static_cast<double>(*available)) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(absl::StrFormat(
      "%s needs %.0f bytes of memory%s, %d are available%s: %s", what, needed,
      ranks_on_host > 1
          ? absl::StrCat(" on each of ", ranks_on_host, " ranks of a machine")
          : "",
      *available, MemoryLimit(backend), advice));
}

}  // namespace

absl::Status CheckLoadOptions(const LoadEngineOptions& options) {
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
  // CheckOptionsForModel checks the rest; the number of blocks is not known
  // yet.
  EngineOptions engine = options.engine;
  engine.num_blocks = std::max<int64_t>(engine.num_blocks, 1);
  engine.eos_token_ids.clear();
  return ValidateEngineOptions(engine, ModelConfig());
}

absl::Status CheckOptionsForModel(const LoadEngineOptions& options,
                                  const ModelConfig& model) {
  RETURN_IF_ERROR(CheckLoadOptions(options));
  EngineOptions engine = options.engine;
  engine.num_blocks = std::max<int64_t>(engine.num_blocks, 1);
  RETURN_IF_ERROR(ValidateEngineOptions(engine, model));
  // A rank has at least one key/value head.
  ModelConfig least = model;
  for (LayerConfig& layer : least.layers) layer.attention.num_kv_heads = 1;
  const int64_t block_bytes = KvCache::BlockBytes(least, engine.block_size);
  if (options.engine.num_blocks == 0 && options.kv_cache_bytes > 0 &&
      options.kv_cache_bytes < block_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "kv_cache_bytes is ", options.kv_cache_bytes,
        "; one block of this model needs ",
        KvCache::BlockBytes(model, engine.block_size), " (on one rank)"));
  }
  return absl::OkStatus();
}

absl::Status CheckWeightsFit(const ModelConfig& model, int64_t num_parameters,
                             DType dtype, int ranks_on_host,
                             const DeviceBackend& backend) {
  // Rotary tables are not in the files, so only this check bounds their size.
  double rotary = 0;
  std::vector<RopeConfig> counted;
  for (const LayerConfig& layer : model.layers) {
    const std::optional<RopeConfig>& rope = layer.attention.rope;
    if (!rope.has_value() || absl::c_linear_search(counted, *rope)) continue;
    counted.push_back(*rope);
    rotary += static_cast<double>(model.max_positions) *
              static_cast<double>(rope->rotary_dim + 1) *
              static_cast<double>(sizeof(float));
  }
  return CheckMemory(
      backend, absl::StrCat("the model as ", DTypeName(dtype)),
      static_cast<double>(num_parameters) * static_cast<double>(SizeOf(dtype)) +
          rotary,
      ranks_on_host, "serve a smaller one, or weights of fewer bits");
}

absl::StatusOr<int64_t> ChooseNumBlocks(const LoadEngineOptions& options,
                                        const ModelConfig& local,
                                        int ranks_on_host, int64_t step_bytes) {
  const EngineOptions& engine = options.engine;
  const DeviceBackend& backend = *options.device.backend;
  const int64_t block_bytes = KvCache::BlockBytes(local, engine.block_size);
  if (engine.num_blocks > 0) {
    RETURN_IF_ERROR(CheckMemory(backend, "a KV cache of num_blocks",
                                static_cast<double>(engine.num_blocks) *
                                    static_cast<double>(block_bytes),
                                ranks_on_host, "ask for fewer"));
    return engine.num_blocks;
  }
  if (options.kv_cache_bytes > 0) {
    RETURN_IF_ERROR(CheckMemory(backend, "a KV cache of kv_cache_bytes",
                                static_cast<double>(options.kv_cache_bytes),
                                ranks_on_host,
                                "ask for less, or leave the field out"));
    if (options.kv_cache_bytes < block_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("kv_cache_bytes is ", options.kv_cache_bytes,
                       "; one block of this model needs ", block_bytes));
    }
    return options.kv_cache_bytes / block_bytes;
  }
  ASSIGN_OR_RETURN(const int64_t all_available, backend.AvailableBytes());
  const int64_t available = all_available / ranks_on_host;
  const int64_t affordable = static_cast<int64_t>(
      kAutomaticKvFraction * static_cast<double>(available - step_bytes) /
      static_cast<double>(block_bytes));
  const int64_t blocks_per_context =
      (local.max_positions + engine.block_size - 1) / engine.block_size;
  if (affordable < 1) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "only ", available, " bytes of memory are available beside the weights",
        MemoryLimit(backend), "; a step of max_step_tokens ",
        engine.max_step_tokens, " may need ", step_bytes,
        " if all its rows choose experts of one rank, one KV cache "
        "block ",
        block_bytes,
        ": lower max_step_tokens, or set kv_cache_bytes and rely on "
        "rows that spread"));
  }
  return std::min(affordable,
                  blocks_per_context * engine.max_running_sequences);
}

}  // namespace moe

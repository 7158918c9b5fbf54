#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/config/layer_config.h"

namespace moe {

// The order of the rows of a fused query-key-value matrix in a file, within one
// tensor-parallel shard. p in {0: q, 1: k, 2: v}, c = channel of the head.
enum class QkvLayout {
  kQKV,              // all q heads, all k heads, all v heads
  kHeadInterleaved,  // per key/value head: its q heads, then k, then v
  kVersion1,         // row = head * 3d + c * 3 + p
};

// Overrides of what files of Megatron-DeepSpeed lack or state wrongly. Unset:
// from the files.
struct MegatronOptions {
  std::optional<QkvLayout> qkv_layout = std::nullopt;
  std::optional<ResidualMoeKind> residual_moe = std::nullopt;  // not kNone
  // kGeluTanh or kGeluErf.
  std::optional<ActivationKind> activation = std::nullopt;
  bool rope_double_cos_quirk = false;
};

// Overrides of what files lack or state wrongly; see proto/config.proto.
struct CheckpointOptions {
  MegatronOptions megatron = {};
  // 0: from the file, else the padded size.
  int64_t vocab_size = 0;
  // The source of vocab_size, for messages, such as "the tokenizer
  // x/tokenizer.json"; "": the configuration.
  std::string vocab_size_source = "";
  // Rank and number of the ranks that open the same files: each rank compares,
  // and warns of, every num_ranks-th weight with copies of several tensor
  // ranks. Not from the files.
  int rank = 0;
  int num_ranks = 1;
};

}  // namespace moe

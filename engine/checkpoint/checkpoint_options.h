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

// What files of Megatron-DeepSpeed can't tell or tell wrong. Absent: from the
// files.
struct MegatronOptions {
  std::optional<QkvLayout> qkv_layout = std::nullopt;
  std::optional<ResidualMoeKind> residual_moe = std::nullopt;  // not kNone
  // kGeluTanh or kGeluErf.
  std::optional<ActivationKind> activation = std::nullopt;
  bool rope_double_cos_quirk = false;
};

// What files can't tell or tell wrong; see proto/config.proto.
struct CheckpointOptions {
  MegatronOptions megatron = {};
  // 0: from the file, else the padded size.
  int64_t vocab_size = 0;
  // Who says so, for messages, such as "the tokenizer x/tokenizer.json"; "": a
  // setting.
  std::string vocab_size_source = "";
  // Of the ranks that open the same files, this one compares every
  // num_ranks-th of the copies that tensor ranks left of a weight, and warns of
  // those. Not a setting of the files.
  int rank = 0;
  int num_ranks = 1;
};

}  // namespace moe

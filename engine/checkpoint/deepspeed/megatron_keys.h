#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace moe {

// How tensor parallelism splits a weight among its ranks.
enum class WeightSplit {
  kReplicated,  // every rank has all of it
  kRows,        // the first dimension, in rank order
  kColumns,     // the second dimension, in rank order
  kUp,          // rows; each rank has its part of both SwiGLU halves
  kQkv,         // rows; each rank has whole heads, in the writer's order
  kQuery,       // the query rows alone
  kKeyValue,    // the key and value rows alone
};

// What a Megatron-DeepSpeed key says about a weight.
struct MegatronKey {
  // Canonical, but "layers.{l}.attention.{query,key_value}.*" for the separate
  // tensors that some versions wrote.
  std::string name;
  WeightSplit split = WeightSplit::kReplicated;
  int64_t layer = -1;
  int64_t expert = -1;        // as in the key: global in an expert's file
  bool is_local_moe = false;  // below `mlp.moe.`: residual variant A
};

// Reads a key such as
// "language_model.encoder.layers.1.mlp.deepspeed_moe.gate.wg.weight" of any
// version: `module.` in front, `transformer` for `encoder`, `attention` for
// `self_attention`, and the glued "encoderlayers.1." of old expert files. False
// if it is no weight of the decoder.
bool ParseMegatronKey(absl::string_view key, MegatronKey* parsed);

// The key of a weight below `language_model.` in current Megatron-DeepSpeed,
// the inverse of ParseMegatronKey; "" for an unknown name. `dense_layer`: the
// layer of an "mlp." weight has no experts; `local_moe`: the form of residual
// variant A.
std::string MegatronKeyOf(const std::string& name, bool dense_layer,
                          bool local_moe);

}  // namespace moe

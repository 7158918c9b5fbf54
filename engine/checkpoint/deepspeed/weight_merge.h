#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/deepspeed/megatron_keys.h"
#include "engine/checkpoint/deepspeed/qkv_layout.h"
#include "engine/checkpoint/host_weight.h"
#include "engine/checkpoint/tensor_file.h"
#include "engine/config/weight_slice.h"

namespace moe {

// A tensor of a file that is a weight or one tensor rank's part of it.
struct WeightPart {
  TensorFile* file = nullptr;  // borrowed
  size_t tensor = 0;           // its index in the file
  WeightSplit split = WeightSplit::kReplicated;
  int64_t rank = 0;

  const TensorInfo& info() const { return file->tensors()[tensor]; }
};

// The location of the parts of one weight.
struct WeightSource {
  std::vector<int64_t> dims;      // of the whole weight
  int64_t ranks = 1;              // over which it is partitioned
  std::vector<WeightPart> parts;  // one, or one (q and kv: two) a rank
};

// The order of fused rows in the files of one checkpoint.
struct FusedRows {
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  QkvLayout qkv_layout = QkvLayout::kQKV;
  bool gated_mlp = false;  // SwiGLU: `up` has two halves
};

// For each row of `part`, its row in the whole weight.
std::vector<int64_t> TargetRows(const WeightPart& part, int64_t part_rows,
                                int64_t ranks, const FusedRows& fused);

// Reads `slice` of a weight whose shapes were checked, and merges the parts.
// Returns a view into a file if no copy is needed. If `sum` is set, bytes that
// are read in part are included in the partial checksums
// (TensorFile::ReadWindow). kInvalidArgument if the slice exceeds the weight.
absl::StatusOr<HostWeight> ReadWeight(const WeightSource& source,
                                      const FusedRows& fused,
                                      const std::string& name,
                                      const WeightSlice& slice, bool sum);

}  // namespace moe

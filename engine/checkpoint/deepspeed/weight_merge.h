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

// Where the parts of one weight lie.
struct WeightSource {
  std::vector<int64_t> dims;      // of the whole weight
  int64_t ranks = 1;              // it is split over so many
  std::vector<WeightPart> parts;  // one, or one (q and kv: two) a rank
};

// How fused rows are ordered in the files of one checkpoint.
struct FusedRows {
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  QkvLayout qkv_layout = QkvLayout::kQKV;
  bool gated_mlp = false;  // SwiGLU: `up` has two halves
};

// The row of the whole weight that each row of `part` is.
std::vector<int64_t> TargetRows(const WeightPart& part, int64_t part_rows,
                                int64_t ranks, const FusedRows& fused);

// Reads `slice` of a weight whose shapes were checked, putting the parts
// together. A view into a file where that is all there is to do. What is read
// in part counts in partial checksums if `sum` says so
// (TensorFile::ReadWindow). kInvalidArgument if the slice leaves the weight.
absl::StatusOr<HostWeight> ReadWeight(const WeightSource& source,
                                      const FusedRows& fused,
                                      const std::string& name,
                                      const WeightSlice& slice, bool sum);

}  // namespace moe

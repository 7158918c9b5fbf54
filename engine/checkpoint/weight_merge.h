#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/pickle_value.h"
#include "engine/checkpoint/qkv_layout.h"
#include "engine/checkpoint/torch_file.h"
#include "engine/checkpoint/weight_names.h"

namespace moe {

// A tensor of a file that is a weight or one tensor rank's part of it.
struct WeightPart {
  const TorchFile* file = nullptr;
  const PickleValue* tensor = nullptr;
  WeightSplit split = WeightSplit::kReplicated;
  int64_t rank = 0;
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

// Reads and puts together the parts of a weight whose shapes were checked. A
// view into the file where that is all there is to do.
absl::StatusOr<HostWeight> ReadWeight(const WeightSource& source,
                                      const FusedRows& fused,
                                      const std::string& name);

}  // namespace moe

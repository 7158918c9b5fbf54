#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "kernels/core/dtype.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// A weight [out, in] in the order in which its device's kernels read it; opaque
// to all but them. On the CPU: panels of columns for the instruction set chosen
// at run time (kernels/cpu/packed_matrix.h). Owns its memory; immutable after
// packing, so thread-safe.
class WeightMatrix {
 public:
  WeightMatrix() = default;
  WeightMatrix(Tensor storage, DType dtype, int64_t out_features,
               int64_t in_features, int32_t panel_columns)
      : storage_(std::move(storage)),
        dtype_(dtype),
        out_features_(out_features),
        in_features_(in_features),
        panel_columns_(panel_columns) {}

  bool empty() const { return out_features_ == 0; }
  DType dtype() const { return dtype_; }
  int64_t out_features() const { return out_features_; }
  int64_t in_features() const { return in_features_; }
  // Output features of one panel; the last panel is padded with zeros.
  int32_t panel_columns() const { return panel_columns_; }
  const uint8_t* data() const { return storage_.ptr<uint8_t>(); }
  const TensorView& storage() const { return storage_.view(); }
  int64_t num_bytes() const {
    return static_cast<int64_t>(storage_.num_bytes());
  }

 private:
  Tensor storage_;
  DType dtype_ = DType::kF32;
  int64_t out_features_ = 0;
  int64_t in_features_ = 0;
  int32_t panel_columns_ = 0;
};

// Packs `source` [out, in] (kF32, kF16 or kBf16, host memory, any strides) as
// `dtype` (kF32, kF16 or kBf16; rounded to nearest even) into memory of the
// stream's backend, and waits until that is done. kInvalidArgument for other
// types or shapes, kResourceExhausted without memory.
absl::StatusOr<WeightMatrix> PackWeight(const TensorView& source, DType dtype,
                                        Stream& stream);

}  // namespace moe

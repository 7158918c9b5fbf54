#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/layers/grouped_mlp.h"
#include "engine/layers/linear_weights.h"
#include "engine/layers/norm.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/weight_matrix.h"

namespace moe {

// Reads the weights of a model by name, checks their shapes against its
// configuration and converts them to what the layers hold. One loader loads one
// model; not thread-safe. All errors name the tensor: kNotFound if the
// checkpoint lacks it, kDataLoss if its shape or type is not the
// configuration's, kResourceExhausted without memory.
class WeightLoader {
 public:
  // All borrowed for the life of the loader. Matrices are packed as `dtype`.
  WeightLoader(const Checkpoint& checkpoint, DType dtype, Stream& stream,
               absl::FunctionRef<void(int64_t, int64_t)> progress);

  // A packed [out, in] matrix of `dtype`, or of `as`.
  absl::StatusOr<WeightMatrix> Matrix(const std::string& name, int64_t out,
                                      int64_t in);
  absl::StatusOr<WeightMatrix> Matrix(const std::string& name, int64_t out,
                                      int64_t in, DType as);
  // The first `out` rows of an [all_rows, in] matrix, packed.
  absl::StatusOr<WeightMatrix> LeadingRows(const std::string& name, int64_t out,
                                           int64_t all_rows, int64_t in);
  // A vector as f32.
  absl::StatusOr<Tensor> Vector(const std::string& name, int64_t size);
  // An [rows, columns] table of `dtype` in its plain row-major form.
  absl::StatusOr<Tensor> Table(const std::string& name, int64_t rows,
                               int64_t columns);

  // <name>.weight, and <name>.bias where the model has biases.
  absl::StatusOr<LinearWeights> Linear(const std::string& name, int64_t out,
                                       int64_t in);
  // <name>.up and <name>.down of the configuration's sizes.
  absl::StatusOr<MlpWeights> Mlp(const std::string& name);
  // <name>.weight and, for LayerNorm, <name>.bias.
  absl::StatusOr<Norm> LoadNorm(const std::string& name);

  const Checkpoint& checkpoint() const { return checkpoint_; }
  const ModelConfig& config() const { return checkpoint_.config(); }
  // Packed bytes so far.
  int64_t packed_bytes() const { return packed_bytes_; }

 private:
  absl::StatusOr<HostWeight> Get(const std::string& name,
                                 absl::Span<const int64_t> dims);
  absl::StatusOr<WeightMatrix> Pack(const std::string& name,
                                    const TensorView& source, DType as);
  absl::StatusOr<Tensor> Convert(const std::string& name,
                                 const TensorView& source, DType as);
  void Report(int64_t elements);

  const Checkpoint& checkpoint_;
  DType dtype_;
  Stream& stream_;
  absl::FunctionRef<void(int64_t, int64_t)> progress_;
  int64_t total_bytes_;
  int64_t done_bytes_ = 0;
  int64_t packed_bytes_ = 0;
};

}  // namespace moe

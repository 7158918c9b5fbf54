#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/config/weight_inventory.h"
#include "engine/config/weight_slice.h"
#include "engine/layers/grouped_mlp.h"
#include "engine/layers/linear_weights.h"
#include "engine/layers/norm.h"
#include "engine/parallel/rank_shard.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/weight_matrix.h"

namespace moe {

// Reads the weights of a model, or of one rank's part of it, by name, checks
// their shapes against the model's inventory and converts them to what the
// layers hold. Which part a rank reads, and what it is kept as, the inventory
// says. One loader loads one model; not thread-safe. All errors name the
// tensor: kNotFound if the checkpoint lacks it, kDataLoss if its shape or type
// is not the configuration's or a value is NaN or infinite, kInvalidArgument if
// one is too large for the type it is kept in, kResourceExhausted without
// memory.
class WeightLoader {
 public:
  // All borrowed for the life of the loader. Matrices are packed as `dtype`.
  WeightLoader(const Checkpoint& checkpoint, const RankShard& shard,
               DType dtype, Stream& stream,
               absl::FunctionRef<void(int64_t, int64_t)> progress);

  // A matrix, packed.
  absl::StatusOr<WeightMatrix> Matrix(const std::string& name);
  // The matrix that makes logits: the rows of this rank's entries of the
  // vocabulary, without those that pad it.
  absl::StatusOr<WeightMatrix> OutputMatrix();
  // A table in its plain row-major form; empty if the model has none.
  absl::StatusOr<Tensor> Table(const std::string& name);
  // A vector as f32; empty if the model, this rank or the files have none.
  absl::StatusOr<Tensor> Vector(const std::string& name);

  // <name>.weight, and <name>.bias if there is one.
  absl::StatusOr<LinearWeights> Linear(const std::string& name);
  // <name>.up and <name>.down.
  absl::StatusOr<MlpWeights> Mlp(const std::string& name);
  // <name>.weight, and <name>.bias if there is one.
  absl::StatusOr<Norm> LoadNorm(const std::string& name,
                                const NormConfig& config);

  const Checkpoint& checkpoint() const { return checkpoint_; }
  const ModelConfig& config() const { return checkpoint_.config(); }
  const RankShard& shard() const { return shard_; }
  DType dtype() const { return dtype_; }
  // Packed bytes so far.
  int64_t packed_bytes() const { return packed_bytes_; }

 private:
  // kInternal: the model has none of that name.
  absl::StatusOr<WeightSpec> Spec(const std::string& name) const;
  // `slice` of the weight, to be kept as `as`.
  absl::StatusOr<HostWeight> Get(const WeightSpec& spec,
                                 const WeightSlice& slice, DType as);
  absl::Status CheckValues(const std::string& name, const TensorView& view,
                           DType as) const;
  absl::StatusOr<WeightMatrix> Pack(const std::string& name,
                                    const TensorView& source, DType as);
  // In host memory.
  absl::StatusOr<Tensor> HostVector(const std::string& name);
  absl::StatusOr<Tensor> Convert(const std::string& name,
                                 const TensorView& source, DType as);
  void Report(int64_t elements);

  const Checkpoint& checkpoint_;
  const RankShard& shard_;
  const WeightInventory inventory_;
  DType dtype_;
  Stream& stream_;
  absl::FunctionRef<void(int64_t, int64_t)> progress_;
  int64_t total_bytes_;
  int64_t done_bytes_ = 0;
  int64_t packed_bytes_ = 0;
};

}  // namespace moe

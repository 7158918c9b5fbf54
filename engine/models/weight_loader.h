#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/weight_slice.h"
#include "engine/config/index_range.h"
#include "engine/layers/grouped_mlp.h"
#include "engine/layers/linear_weights.h"
#include "engine/layers/norm.h"
#include "engine/parallel/rank_shard.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/weight_matrix.h"

namespace moe {

// Reads the weights of a model, or of one rank's part of it, by name, checks
// their shapes against its configuration and converts them to what the layers
// hold. One loader loads one model; not thread-safe. All errors name the
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

  // `slice` of an [out, in] matrix, packed as `as`.
  absl::StatusOr<WeightMatrix> Matrix(const std::string& name, int64_t out,
                                      int64_t in, const WeightSlice& slice,
                                      DType as);
  // The rows of this rank's entries of the vocabulary of a [padded_vocab,
  // hidden] matrix: packed, and as a plain row-major table, where the last rank
  // has the rows that pad the vocabulary too.
  absl::StatusOr<WeightMatrix> VocabularyMatrix(const std::string& name);
  absl::StatusOr<Tensor> VocabularyTable(const std::string& name);
  // A vector, or `slice` of it, as f32.
  absl::StatusOr<Tensor> Vector(const std::string& name, int64_t size,
                                const WeightSlice& slice = {});
  // An [rows, columns] table of `dtype` in its plain row-major form.
  absl::StatusOr<Tensor> Table(const std::string& name, int64_t rows,
                               int64_t columns, const WeightSlice& slice = {});

  // <name>.weight [out, in], and <name>.bias if it `has_bias`, of which the
  // rank has `slice`. Of a product whose terms are spread over ranks (a slice
  // of columns) one alone has the bias.
  absl::StatusOr<LinearWeights> Linear(const std::string& name, int64_t out,
                                       int64_t in, const WeightSlice& slice,
                                       bool has_bias);
  // <name>.up and <name>.down of the sizes of `mlp`, of which the rank has the
  // features `ffn` in between and, if it `adds_bias`, the bias of `down`.
  absl::StatusOr<MlpWeights> Mlp(const std::string& name, const MlpConfig& mlp,
                                 const IndexRange& ffn, bool adds_bias);
  // <name>.weight and, for LayerNorm, <name>.bias.
  absl::StatusOr<Norm> LoadNorm(const std::string& name,
                                const NormConfig& config);

  const Checkpoint& checkpoint() const { return checkpoint_; }
  const ModelConfig& config() const { return checkpoint_.config(); }
  const RankShard& shard() const { return shard_; }
  DType dtype() const { return dtype_; }
  // Packed bytes so far.
  int64_t packed_bytes() const { return packed_bytes_; }

 private:
  // `dims` are of the whole weight; `as`: what it is going to be kept as.
  absl::StatusOr<HostWeight> Get(const std::string& name,
                                 absl::Span<const int64_t> dims,
                                 const WeightSlice& slice, DType as);
  absl::Status CheckValues(const std::string& name, const TensorView& view,
                           DType as) const;
  WeightSlice VocabularySlice() const;
  absl::StatusOr<WeightMatrix> Pack(const std::string& name,
                                    const TensorView& source, DType as);
  absl::StatusOr<Tensor> Convert(const std::string& name,
                                 const TensorView& source, DType as);
  void Report(int64_t elements);

  const Checkpoint& checkpoint_;
  const RankShard& shard_;
  DType dtype_;
  Stream& stream_;
  absl::FunctionRef<void(int64_t, int64_t)> progress_;
  int64_t total_bytes_;
  int64_t done_bytes_ = 0;
  int64_t packed_bytes_ = 0;
};

}  // namespace moe

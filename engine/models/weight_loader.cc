#include "engine/models/weight_loader.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/models/unrepresentable_values.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

absl::Status Named(const absl::Status& status, const std::string& name) {
  return absl::Status(status.code(),
                      absl::StrCat("tensor ", name, ": ", status.message()));
}

float ReadFloat(const TensorView& source, int64_t offset) {
  switch (source.dtype) {
    case DType::kF16:
      return HalfToFloat(source.ptr<uint16_t>()[offset]);
    case DType::kBf16:
      return Bf16ToFloat(source.ptr<uint16_t>()[offset]);
    default:
      return source.ptr<float>()[offset];
  }
}

void WriteFloat(float value, const TensorView& target, int64_t offset) {
  switch (target.dtype) {
    case DType::kF16:
      target.ptr<uint16_t>()[offset] = FloatToHalf(value);
      break;
    case DType::kBf16:
      target.ptr<uint16_t>()[offset] = FloatToBf16(value);
      break;
    default:
      target.ptr<float>()[offset] = value;
  }
}

}  // namespace

WeightLoader::WeightLoader(const Checkpoint& checkpoint, const RankShard& shard,
                           DType dtype, Stream& stream,
                           absl::FunctionRef<void(int64_t, int64_t)> progress)
    : checkpoint_(checkpoint),
      shard_(shard),
      dtype_(dtype),
      stream_(stream),
      progress_(progress),
      total_bytes_(shard.CountParameters(checkpoint.config()) *
                   static_cast<int64_t>(SizeOf(dtype))) {}

void WeightLoader::Report(int64_t elements) {
  // In bytes of the packed type, whatever small vectors are kept as.
  done_bytes_ =
      std::min(total_bytes_,
               done_bytes_ + elements * static_cast<int64_t>(SizeOf(dtype_)));
  progress_(done_bytes_, total_bytes_);
}

absl::StatusOr<HostWeight> WeightLoader::Get(const std::string& name,
                                             absl::Span<const int64_t> dims,
                                             const WeightSlice& slice,
                                             DType as) {
  absl::StatusOr<HostWeight> got =
      slice.whole() ? checkpoint_.Get(name) : checkpoint_.GetShard(name, slice);
  if (!got.ok()) return got.status();
  HostWeight weight = *std::move(got);
  std::vector<int64_t> expected(dims.begin(), dims.end());
  if (!slice.rows.empty()) {
    expected[0] = 0;
    for (const IndexRange& range : slice.rows) expected[0] += range.size();
  }
  if (slice.columns.has_value()) expected[1] = slice.columns->size();
  const TensorView& view = weight.view;
  bool fits = view.rank == static_cast<int>(expected.size());
  for (size_t i = 0; fits && i < expected.size(); ++i) {
    fits = view.dims[i] == expected[i];
  }
  if (!fits) {
    return absl::DataLossError(
        absl::StrCat("tensor ", name, " is ", view.ShapeString(),
                     ", but the model's configuration asks for [",
                     absl::StrJoin(expected, ", "), "]"));
  }
  if (view.dtype != DType::kF32 && view.dtype != DType::kF16 &&
      view.dtype != DType::kBf16) {
    return absl::DataLossError(absl::StrCat("tensor ", name, " is ",
                                            view.ShapeString(),
                                            ", must be f32, f16 or bf16"));
  }
  RETURN_IF_ERROR(CheckValues(name, view, as));
  return weight;
}

absl::Status WeightLoader::CheckValues(const std::string& name,
                                       const TensorView& view, DType as) const {
  const UnrepresentableValues unfit = CountUnrepresentableValues(view, as, stream_);
  if (unfit.not_finite + unfit.too_large == 0) return absl::OkStatus();
  std::string tensor = absl::StrCat("tensor ", name);
  const std::string files = checkpoint_.FilesOf(name);
  if (!files.empty()) absl::StrAppend(&tensor, " in ", files);
  if (unfit.not_finite > 0) {
    return absl::DataLossError(absl::StrCat(
        tensor, ": ", unfit.not_finite, " of the ", view.num_elements(),
        " values read are NaN or infinite: the file is damaged, or training "
        "diverged before it was saved; use an earlier checkpoint"));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      tensor, ": ", unfit.too_large, " of the ", view.num_elements(),
      " values read are beyond the largest of ", DTypeName(as),
      ": set model.weight_dtype to ",
      as == DType::kF16 ? "BF16 or F32" : "F32"));
}

absl::StatusOr<WeightMatrix> WeightLoader::Pack(const std::string& name,
                                                const TensorView& source,
                                                DType as) {
  absl::StatusOr<WeightMatrix> matrix = PackWeight(source, as, stream_);
  if (!matrix.ok()) return Named(matrix.status(), name);
  packed_bytes_ += matrix->num_bytes();
  Report(source.num_elements());
  return matrix;
}

absl::StatusOr<WeightMatrix> WeightLoader::Matrix(const std::string& name,
                                                  int64_t out, int64_t in,
                                                  const WeightSlice& slice,
                                                  DType as) {
  ASSIGN_OR_RETURN(const HostWeight weight, Get(name, {out, in}, slice, as));
  return Pack(name, weight.view, as);
}

WeightSlice WeightLoader::VocabularySlice() const {
  WeightSlice slice;
  if (shard_.tensor_degree == 1) return slice;
  IndexRange rows = shard_.Vocab(config());
  if (shard_.tensor_rank == shard_.tensor_degree - 1) {
    rows.end = config().padded_vocab_size;
  }
  slice.rows.push_back(rows);
  return slice;
}

absl::StatusOr<WeightMatrix> WeightLoader::VocabularyMatrix(
    const std::string& name) {
  ASSIGN_OR_RETURN(const HostWeight weight,
                   Get(name, {config().padded_vocab_size, config().hidden_size},
                       VocabularySlice(), dtype_));
  return Pack(name, weight.view.Rows(0, shard_.Vocab(config()).size()), dtype_);
}

absl::StatusOr<Tensor> WeightLoader::VocabularyTable(const std::string& name) {
  return Table(name, config().padded_vocab_size, config().hidden_size,
               VocabularySlice());
}

absl::StatusOr<Tensor> WeightLoader::Convert(const std::string& name,
                                             const TensorView& source,
                                             DType as) {
  const int64_t rows = source.dims[0];
  const int64_t columns = source.rank == 2 ? source.dims[1] : 1;
  absl::StatusOr<Tensor> tensor =
      Tensor::Allocate(as, absl::MakeConstSpan(source.dims).first(source.rank));
  if (!tensor.ok()) return Named(tensor.status(), name);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t from = r * source.strides[0] +
                           (source.rank == 2 ? c * source.strides[1] : 0);
      WriteFloat(ReadFloat(source, from), tensor->view(), r * columns + c);
    }
  }
  Report(source.num_elements());
  return tensor;
}

absl::StatusOr<Tensor> WeightLoader::Vector(const std::string& name,
                                            int64_t size,
                                            const WeightSlice& slice) {
  ASSIGN_OR_RETURN(const HostWeight weight,
                   Get(name, {size}, slice, DType::kF32));
  return Convert(name, weight.view, DType::kF32);
}

absl::StatusOr<Tensor> WeightLoader::Table(const std::string& name,
                                           int64_t rows, int64_t columns,
                                           const WeightSlice& slice) {
  ASSIGN_OR_RETURN(const HostWeight weight,
                   Get(name, {rows, columns}, slice, dtype_));
  return Convert(name, weight.view, dtype_);
}

absl::StatusOr<LinearWeights> WeightLoader::Linear(const std::string& name,
                                                   int64_t out, int64_t in,
                                                   const WeightSlice& slice,
                                                   bool has_bias) {
  LinearWeights weights;
  ASSIGN_OR_RETURN(weights.weight, Matrix(absl::StrCat(name, ".weight"), out,
                                          in, slice, dtype_));
  if (has_bias) {
    WeightSlice bias;
    bias.rows = slice.rows;
    ASSIGN_OR_RETURN(weights.bias,
                     Vector(absl::StrCat(name, ".bias"), out, bias));
  }
  return weights;
}

absl::StatusOr<MlpWeights> WeightLoader::Mlp(const std::string& name,
                                             const MlpConfig& mlp,
                                             const IndexRange& ffn,
                                             bool adds_bias) {
  const int64_t all = mlp.ffn_hidden_size, hidden = config().hidden_size;
  WeightSlice up, down;
  if (ffn.size() < all) {
    up.rows.push_back(ffn);
    // Of the other half the same features.
    if (mlp.is_gated()) up.rows.push_back({all + ffn.begin, all + ffn.end});
    down.columns = ffn;
  }
  MlpWeights weights;
  ASSIGN_OR_RETURN(weights.up, Linear(absl::StrCat(name, ".up"), mlp.up_rows(),
                                      hidden, up, mlp.has_bias));
  ASSIGN_OR_RETURN(weights.down, Linear(absl::StrCat(name, ".down"), hidden,
                                        all, down, mlp.has_bias && adds_bias));
  return weights;
}

absl::StatusOr<Norm> WeightLoader::LoadNorm(const std::string& name,
                                            const NormConfig& config) {
  const int64_t hidden = this->config().hidden_size;
  ASSIGN_OR_RETURN(Tensor weight,
                   Vector(absl::StrCat(name, ".weight"), hidden));
  if (config.weight_plus_one) {
    for (int64_t i = 0; i < hidden; ++i) weight.ptr<float>()[i] += 1.0f;
  }
  Tensor bias;
  if (config.kind == NormKind::kLayerNorm) {
    ASSIGN_OR_RETURN(bias, Vector(absl::StrCat(name, ".bias"), hidden));
  }
  return Norm(config.kind, config.epsilon, std::move(weight), std::move(bias));
}

}  // namespace moe

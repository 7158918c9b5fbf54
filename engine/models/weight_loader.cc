#include "engine/models/weight_loader.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/models/unrepresentable_values.h"
#include "kernels/core/status_macros.h"
#include "kernels/core/upload.h"

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
      inventory_(checkpoint.config()),
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

absl::StatusOr<WeightSpec> WeightLoader::Spec(const std::string& name) const {
  std::optional<WeightSpec> spec = inventory_.Find(name);
  if (spec.has_value()) return *std::move(spec);
  return absl::InternalError(
      absl::StrCat("tensor ", name, " is none of the model's"));
}

absl::StatusOr<HostWeight> WeightLoader::Get(const WeightSpec& spec,
                                             const WeightSlice& slice,
                                             DType as) {
  const std::string& name = spec.name;
  absl::StatusOr<HostWeight> got =
      slice.whole() ? checkpoint_.Get(name) : checkpoint_.GetShard(name, slice);
  if (!got.ok()) return got.status();
  HostWeight weight = *std::move(got);
  const std::vector<int64_t> expected = slice.Dims(spec.dims);
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
  const UnrepresentableValues unfit =
      CountUnrepresentableValues(view, as, stream_);
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

absl::StatusOr<WeightMatrix> WeightLoader::Matrix(const std::string& name) {
  ASSIGN_OR_RETURN(const WeightSpec spec, Spec(name));
  const DType as = spec.kind == WeightKind::kF32Matrix ? DType::kF32 : dtype_;
  // Every rank has some of each matrix.
  const WeightSlice slice = *shard_.SliceOf(config(), spec);
  ASSIGN_OR_RETURN(const HostWeight weight, Get(spec, slice, as));
  return Pack(name, weight.view, as);
}

absl::StatusOr<WeightMatrix> WeightLoader::OutputMatrix() {
  const WeightSpec& spec = inventory_.output();
  const WeightSlice slice = *shard_.SliceOf(config(), spec);
  ASSIGN_OR_RETURN(const HostWeight weight, Get(spec, slice, dtype_));
  return Pack(spec.name, weight.view.Rows(0, shard_.Vocab(config()).size()),
              dtype_);
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

absl::StatusOr<Tensor> WeightLoader::HostVector(const std::string& name) {
  const std::optional<WeightSpec> spec = inventory_.Find(name);
  if (!spec.has_value()) return Tensor();
  const std::optional<WeightSlice> slice = shard_.SliceOf(config(), *spec);
  if (!slice.has_value()) return Tensor();
  if (spec->is_optional && !checkpoint_.Has(name)) return Tensor();
  ASSIGN_OR_RETURN(const HostWeight weight, Get(*spec, *slice, DType::kF32));
  return Convert(name, weight.view, DType::kF32);
}

absl::StatusOr<Tensor> WeightLoader::Vector(const std::string& name) {
  ASSIGN_OR_RETURN(Tensor vector, HostVector(name));
  return Upload(std::move(vector), stream_);
}

absl::StatusOr<Tensor> WeightLoader::Table(const std::string& name) {
  const std::optional<WeightSpec> spec = inventory_.Find(name);
  if (!spec.has_value()) return Tensor();
  const WeightSlice slice = *shard_.SliceOf(config(), *spec);
  ASSIGN_OR_RETURN(const HostWeight weight, Get(*spec, slice, dtype_));
  ASSIGN_OR_RETURN(Tensor table, Convert(name, weight.view, dtype_));
  return Upload(std::move(table), stream_);
}

absl::StatusOr<LinearWeights> WeightLoader::Linear(const std::string& name) {
  LinearWeights weights;
  ASSIGN_OR_RETURN(weights.weight, Matrix(absl::StrCat(name, ".weight")));
  ASSIGN_OR_RETURN(weights.bias, Vector(absl::StrCat(name, ".bias")));
  return weights;
}

absl::StatusOr<MlpWeights> WeightLoader::Mlp(const std::string& name) {
  MlpWeights weights;
  ASSIGN_OR_RETURN(weights.up, Linear(absl::StrCat(name, ".up")));
  ASSIGN_OR_RETURN(weights.down, Linear(absl::StrCat(name, ".down")));
  return weights;
}

absl::StatusOr<Norm> WeightLoader::LoadNorm(const std::string& name,
                                            const NormConfig& config) {
  ASSIGN_OR_RETURN(Tensor weight, HostVector(absl::StrCat(name, ".weight")));
  if (config.weight_plus_one) {
    for (int64_t i = 0; i < weight.dim(0); ++i) weight.ptr<float>()[i] += 1.0f;
  }
  ASSIGN_OR_RETURN(weight, Upload(std::move(weight), stream_));
  ASSIGN_OR_RETURN(Tensor bias, Vector(absl::StrCat(name, ".bias")));
  return Norm(config.kind, config.epsilon, std::move(weight), std::move(bias));
}

}  // namespace moe

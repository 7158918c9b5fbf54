#include "engine/layers/grouped_mlp.h"

#include <algorithm>

#include "absl/container/inlined_vector.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/silu_and_mul.h"

namespace moe {
namespace {

// Inline capacity for the experts of a small decode step.
using Groups = absl::InlinedVector<LinearGroup, 16>;

}  // namespace

Epilogue EpilogueOf(ActivationKind activation) {
  switch (activation) {
    case ActivationKind::kGeluTanh:
      return Epilogue::kGeluTanh;
    case ActivationKind::kGeluErf:
      return Epilogue::kGeluErf;
    case ActivationKind::kSquaredRelu:
      return Epilogue::kSquaredRelu;
    case ActivationKind::kSwiGlu:
      return Epilogue::kNone;
  }
  return Epilogue::kNone;
}

absl::StatusOr<MlpScratch> MlpScratch::Create(DeviceBackend& backend,
                                              absl::Span<const MlpConfig> mlps,
                                              int64_t max_rows) {
  MlpScratch scratch;
  int64_t up = 0, ffn = 0;
  bool is_gated = false;
  for (const MlpConfig& mlp : mlps) {
    up = std::max(up, mlp.up_rows());
    ffn = std::max(ffn, mlp.ffn_hidden_size);
    is_gated |= mlp.is_gated();
  }
  const DType dtype = backend.activation_dtype();
  if (up > 0) {
    ASSIGN_OR_RETURN(scratch.up,
                     Tensor::Allocate(backend, dtype, {max_rows, up}));
  }
  if (is_gated) {
    ASSIGN_OR_RETURN(scratch.activated,
                     Tensor::Allocate(backend, dtype, {max_rows, ffn}));
  }
  return scratch;
}

void UseScratch(const MlpScratch& scratch, int64_t begin, int64_t end,
                MlpJob& job) {
  const int64_t rows = end - begin;
  job.up =
      scratch.up.AsRows(rows, job.weights->up.weight.out_features(), begin);
  if (!scratch.activated.view().empty()) {
    job.activated = scratch.activated.AsRows(
        rows, job.weights->down.weight.in_features(), begin);
  }
}

absl::Status RunMlps(absl::Span<const MlpJob> jobs, ActivationKind activation,
                     Stream& stream) {
  RETURN_IF_ERROR(RunMlpUps(jobs, activation, stream));
  return RunMlpDowns(jobs, activation, stream);
}

absl::Status RunMlpUps(absl::Span<const MlpJob> jobs, ActivationKind activation,
                       Stream& stream) {
  Groups groups;
  for (const MlpJob& job : jobs) {
    LinearGroup group = job.weights->up.Group(job.x, job.up);
    group.epilogue = EpilogueOf(activation);
    groups.push_back(group);
  }
  RETURN_IF_ERROR(GroupedLinear(groups, stream));
  if (activation != ActivationKind::kSwiGlu) return absl::OkStatus();
  for (const MlpJob& job : jobs) {
    RETURN_IF_ERROR(SiluAndMul({job.up, job.activated}, stream));
  }
  return absl::OkStatus();
}

absl::Status RunMlpDowns(absl::Span<const MlpJob> jobs,
                         ActivationKind activation, Stream& stream) {
  const bool gated = activation == ActivationKind::kSwiGlu;
  Groups groups;
  for (const MlpJob& job : jobs) {
    LinearGroup group =
        job.weights->down.Group(gated ? job.activated : job.up, job.y);
    group.residual = job.residual;
    groups.push_back(group);
  }
  return GroupedLinear(groups, stream);
}

}  // namespace moe

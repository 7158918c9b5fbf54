#include "engine/moe/experts.h"

#include <utility>

#include "absl/types/span.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/silu_and_mul.h"

namespace moe {
namespace {

ExpertWeight Borrow(const LinearWeights& weights) {
  return {&weights.weight, weights.bias.view()};
}

absl::Span<const MlpJob> Jobs(const MlpJob* along) {
  return absl::MakeConstSpan(along, along == nullptr ? 0 : 1);
}

}  // namespace

Experts::Experts(std::vector<MlpWeights> experts)
    : experts_(std::move(experts)) {
  for (const MlpWeights& expert : experts_) {
    ups_.push_back(Borrow(expert.up));
    downs_.push_back(Borrow(expert.down));
  }
}

int64_t Experts::up_features() const {
  return experts_.empty() ? 0 : experts_.front().up.weight.out_features();
}

int64_t Experts::ffn_features() const {
  return experts_.empty() ? 0 : experts_.front().down.weight.in_features();
}

absl::Status Experts::RunUps(const DispatchedTokens& tokens,
                             ActivationKind activation,
                             const MlpScratch& scratch, const MlpJob* along,
                             Stream& stream) const {
  if (IsIdle(tokens)) return RunMlpUps(Jobs(along), activation, stream);
  const int64_t slots = tokens.num_slots();
  ExpertLinearArgs args;
  args.experts = ups_;
  args.x = tokens.x;
  args.row_of_slot = tokens.row_of_slot;
  args.expert_offsets = tokens.expert_offsets;
  args.y = scratch.up.AsRows(slots, up_features());
  args.epilogue = EpilogueOf(activation);
  if (along != nullptr) {
    args.along = along->weights->up.Group(along->x, along->up);
    args.along.epilogue = args.epilogue;
  }
  RETURN_IF_ERROR(ExpertLinear(args, stream));
  if (activation != ActivationKind::kSwiGlu) return absl::OkStatus();
  RETURN_IF_ERROR(SiluAndMul(
      {args.y, scratch.activated.AsRows(slots, ffn_features())}, stream));
  if (along == nullptr) return absl::OkStatus();
  return SiluAndMul({along->up, along->activated}, stream);
}

absl::Status Experts::RunDowns(const DispatchedTokens& tokens,
                               ActivationKind activation,
                               const MlpScratch& scratch,
                               const TensorView& expert_out,
                               const MlpJob* along, Stream& stream) const {
  if (IsIdle(tokens)) return RunMlpDowns(Jobs(along), activation, stream);
  const bool gated = activation == ActivationKind::kSwiGlu;
  ExpertLinearArgs args;
  args.experts = downs_;
  args.x = (gated ? scratch.activated : scratch.up)
               .AsRows(tokens.num_slots(), ffn_features());
  args.expert_offsets = tokens.expert_offsets;
  args.y = expert_out;
  if (along != nullptr) {
    args.along = along->weights->down.Group(
        gated ? along->activated : along->up, along->y);
    args.along.residual = along->residual;
  }
  return ExpertLinear(args, stream);
}

}  // namespace moe

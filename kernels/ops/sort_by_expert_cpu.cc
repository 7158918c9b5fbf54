#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/ops/op_checks.h"
#include "kernels/ops/sort_by_expert.h"

namespace moe::cpu {
namespace {

// Packed rows hold their ids in memory of floats.
int32_t IdAt(const TensorView& ids, int64_t row, int64_t choice) {
  int32_t id;
  std::memcpy(&id, ids.ptr<int32_t>() + row * RowStride(ids) + choice,
              sizeof(id));
  return id;
}

}  // namespace

absl::Status SortByExpert(const SortByExpertArgs& args, CpuStream&) {
  const int64_t rows = args.expert_ids.dims[0];
  const int64_t num_ids = args.expert_ids.dims[1];
  const int64_t experts = args.expert_offsets.dims[0] - 1;
  const auto is_here = [&](int64_t id) {
    return id >= args.first_expert && id < args.first_expert + experts;
  };
  int32_t* const offsets = args.expert_offsets.ptr<int32_t>();
  std::fill_n(offsets, experts + 1, 0);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < num_ids; ++j) {
      const int32_t id = IdAt(args.expert_ids, r, j);
      if (id < 0 || id >= args.all_experts) {
        return absl::InternalError(
            absl::StrCat("row ", r, " of an exchange is for expert ", id,
                         ", the layer has ", args.all_experts));
      }
      if (args.all_here && !is_here(id)) {
        return absl::InternalError(
            absl::StrCat("row ", r, " of an exchange is for expert ", id,
                         ", this rank has [", args.first_expert, ", ",
                         args.first_expert + experts, ")"));
      }
      if (is_here(id)) ++offsets[id - args.first_expert];
    }
  }
  // offsets[e] := end of expert e; filled from the back they become starts.
  for (int64_t e = 1; e <= experts; ++e) offsets[e] += offsets[e - 1];
  for (int64_t r = rows - 1; r >= 0; --r) {
    int32_t* const slot_of =
        args.slot_of.ptr<int32_t>() + r * RowStride(args.slot_of);
    for (int64_t j = num_ids - 1; j >= 0; --j) {
      const int32_t id = IdAt(args.expert_ids, r, j);
      if (!is_here(id)) {
        slot_of[j] = -1;
        continue;
      }
      slot_of[j] = --offsets[id - args.first_expert];
      args.row_of_slot.ptr<int32_t>()[slot_of[j]] = static_cast<int32_t>(r);
    }
  }
  return absl::OkStatus();
}

}  // namespace moe::cpu

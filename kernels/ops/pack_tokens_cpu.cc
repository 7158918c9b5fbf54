#include <algorithm>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"
#include "kernels/ops/pack_tokens.h"

namespace moe::cpu {
namespace {

absl::Status CheckSlots(const PackSlotsArgs& args) {
  const int32_t* const rows = args.row_of_slot.ptr<int32_t>();
  const int64_t end = args.first_slot + args.y.dims[0];
  for (int64_t s = args.first_slot; s < end; ++s) {
    if (rows[s] < 0 || rows[s] >= args.x.dims[0]) {
      return absl::InvalidArgumentError(
          absl::StrCat("PackSlots: row ", rows[s], " of slot ", s,
                       " is outside [0, ", args.x.dims[0], ")"));
    }
  }
  const int32_t* const offsets = args.expert_offsets.ptr<int32_t>();
  const int64_t experts = args.expert_offsets.dims[0] - 1;
  if (args.first_slot < end &&
      (experts < 1 || offsets[0] > args.first_slot || offsets[experts] < end)) {
    return absl::InvalidArgumentError(
        absl::StrCat("PackSlots: slots [", args.first_slot, ", ", end,
                     ") are not all those of experts"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status PackTokens(const PackTokensArgs& args, CpuStream& stream) {
  const int64_t hidden = args.x.dims[1], num_ids = args.expert_ids.dims[1];
  ParallelRows(stream, args.x.dims[0], hidden, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* const y = args.y.ptr<float>() + r * RowStride(args.y);
      std::memcpy(y, args.x.ptr<float>() + r * RowStride(args.x),
                  hidden * sizeof(float));
      std::memcpy(
          y + hidden,
          args.expert_ids.ptr<int32_t>() + r * RowStride(args.expert_ids),
          num_ids * sizeof(int32_t));
    }
  });
  return absl::OkStatus();
}

absl::Status PackSlots(const PackSlotsArgs& args, CpuStream& stream) {
  RETURN_IF_ERROR(CheckSlots(args));
  const int64_t hidden = args.x.dims[1];
  const int32_t* const rows = args.row_of_slot.ptr<int32_t>();
  const int32_t* const offsets = args.expert_offsets.ptr<int32_t>();
  const int32_t* const offsets_end = offsets + args.expert_offsets.dims[0];
  ParallelRows(stream, args.y.dims[0], hidden, [&](int64_t begin, int64_t end) {
    // The expert of the first slot; the others follow ascending.
    const int64_t first = args.first_slot + begin;
    auto expert = static_cast<int32_t>(
        std::upper_bound(offsets, offsets_end, first) - offsets - 1);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t s = args.first_slot + i;
      while (s >= offsets[expert + 1]) ++expert;
      float* const y = args.y.ptr<float>() + i * RowStride(args.y);
      std::memcpy(y, args.x.ptr<float>() + rows[s] * RowStride(args.x),
                  hidden * sizeof(float));
      std::memcpy(y + hidden, &expert, sizeof(expert));
    }
  });
  return absl::OkStatus();
}

}  // namespace moe::cpu

#include <cstring>

#include "kernels/ops/op_checks.h"
#include "kernels/ops/pack_tokens.h"

namespace moe::cpu {

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

}  // namespace moe::cpu

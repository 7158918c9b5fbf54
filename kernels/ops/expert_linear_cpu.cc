#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/ops/expert_linear.h"
#include "kernels/ops/linear_cpu.h"

namespace moe::cpu {

absl::Status ExpertLinear(const ExpertLinearArgs& args, CpuStream& stream) {
  const int32_t* const offsets = args.expert_offsets.ptr<int32_t>();
  const int64_t slots = args.y.dims[0];
  std::vector<LinearGroup> groups;
  groups.reserve(args.experts.size() + 1);
  for (size_t e = 0; e < args.experts.size(); ++e) {
    const int64_t begin = offsets[e], end = offsets[e + 1];
    if (begin < 0 || end < begin || end > slots) {
      return absl::InvalidArgumentError(
          absl::StrCat("ExpertLinear: expert ", e, " has slots [", begin, ", ",
                       end, ") of ", slots));
    }
    if (begin == end) continue;
    LinearGroup& group = groups.emplace_back();
    group.weight = args.experts[e].weight;
    group.bias = args.experts[e].bias;
    if (args.row_of_slot.empty()) {
      group.x = args.x.Rows(begin, end);
    } else {
      group.x = args.x;
      group.x_rows = args.row_of_slot.Rows(begin, end);
    }
    group.y = args.y.Rows(begin, end);
    group.epilogue = args.epilogue;
  }
  if (args.along.y.rank != 0 && args.along.y.dims[0] > 0) {
    groups.push_back(args.along);
  }
  return GroupedLinear(groups, stream);
}

}  // namespace moe::cpu

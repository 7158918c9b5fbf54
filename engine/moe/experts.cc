#include "engine/moe/experts.h"

namespace moe {

int64_t Experts::up_features() const {
  return experts_.empty() ? 0 : experts_.front().up.weight.out_features();
}

int64_t Experts::ffn_features() const {
  return experts_.empty() ? 0 : experts_.front().down.weight.in_features();
}

void Experts::AppendJobs(const DispatchedTokens& tokens,
                         const MlpScratch& scratch,
                         const TensorView& expert_out,
                         std::vector<MlpJob>& jobs) const {
  for (size_t e = 0; e < experts_.size(); ++e) {
    const int32_t begin = tokens.expert_offsets[e];
    const int32_t end = tokens.expert_offsets[e + 1];
    if (begin == end) continue;
    MlpJob job;
    job.weights = &experts_[e];
    job.x = tokens.x;
    job.x_rows = tokens.x_rows.data() + begin;
    job.y = expert_out.Rows(begin, end);
    UseScratch(scratch, begin, end, job);
    jobs.push_back(job);
  }
}

}  // namespace moe

#include "engine/distributed/logit_gather.h"

#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/parallel/rank_shard.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr char kOperation[] = "gathering logits";

// A rank without logits sends this instead: rank 0 waits for every rank in each
// step, and so receives the abort of any rank.
constexpr size_t kDoneBytes = 8;

std::vector<int> MoeLayers(const ModelConfig& model) {
  std::vector<int> layers;
  for (int64_t layer = 0; layer < model.num_layers(); ++layer) {
    if (model.is_moe_layer(layer)) layers.push_back(static_cast<int>(layer));
  }
  return layers;
}

// Rows of the slices with trace_routing.
int64_t TracedRows(const Batch& rank_batch) {
  int64_t rows = 0;
  for (const SequenceSlice& slice : rank_batch.sequences) {
    if (slice.trace_routing) rows += slice.num_tokens;
  }
  return rows;
}

}  // namespace

absl::StatusOr<LogitGather> LogitGather::Create(const StepLink& link,
                                                DeviceBackend& backend,
                                                const ModelConfig& model,
                                                int64_t max_logit_rows) {
  LogitGather gather;
  gather.link_ = link;
  gather.model_ = model;
  gather.moe_layers_ = MoeLayers(model);
  if (link.tensor_degree > 1) {
    ASSIGN_OR_RETURN(gather.slices_, Tensor::AllocatePinned(
                                         backend, DType::kF32,
                                         {max_logit_rows, model.vocab_size}));
  }
  return gather;
}

absl::Status LogitGather::Begin(const StepPlan& plan,
                                const TensorView& logits) {
  plan_ = &plan;
  logits_ = logits;
  routing_.clear();
  const int tensor_degree = link_.tensor_degree;
  const bool sliced = tensor_degree > 1;
  if (sliced && plan.num_logit_rows() > slices_.dim(0)) {
    return absl::InternalError(
        absl::StrCat("step ", plan.step_id, " wants ", plan.num_logit_rows(),
                     " rows of logits; there is room for ", slices_.dim(0)));
  }
  done_.resize(link_.plans->size() * kDoneBytes);
  routing_.reserve(
      plan.rank_batches.size());  // receives point into the elements
  std::vector<ReceiveBuffer> receives;
  // Without slices, logits are received in place.
  float* next = sliced ? slices_.ptr<float>() : logits.ptr<float>();
  for (size_t d = 0; d < plan.rank_batches.size(); ++d) {
    const Batch& rank_batch = plan.rank_batches[d];
    const int64_t rows = static_cast<int64_t>(rank_batch.logit_rows.size());
    for (int t = 0; t < tensor_degree; ++t) {
      const int peer = static_cast<int>(d) * tensor_degree + t;
      const int64_t width =
          RankShard::VocabRange(model_, t, tensor_degree).size();
      if (peer == 0) {
        own_ = MakeView(next, DType::kF32, {rows, width});
      } else if (rows > 0) {
        receives.push_back({peer, next, rows * width * sizeof(float)});
      } else {
        receives.push_back(
            {peer, done_.data() + peer * kDoneBytes, kDoneBytes});
      }
      next += rows * width;
      const int64_t traced = t == 0 && peer != 0 ? TracedRows(rank_batch) : 0;
      if (traced == 0 || moe_layers_.empty()) continue;
      std::vector<int32_t>& words = routing_.emplace_back();
      int64_t per_row = 0;
      for (int layer : moe_layers_) per_row += model_.layers[layer].moe().top_k;
      words.resize(traced * per_row);
      receives.push_back({peer, words.data(), words.size() * sizeof(int32_t)});
    }
  }
  ASSIGN_OR_RETURN(pending_,
                   link_.plans->BeginExchange({}, receives, kOperation));
  return absl::OkStatus();
}

void LogitGather::InterleaveSlices() {
  const float* slice = slices_.ptr<float>();
  int64_t first_row = 0;
  for (const Batch& rank_batch : plan_->rank_batches) {
    const int64_t rows = static_cast<int64_t>(rank_batch.logit_rows.size());
    for (int t = 0; t < link_.tensor_degree; ++t) {
      const IndexRange range =
          RankShard::VocabRange(model_, t, link_.tensor_degree);
      for (int64_t row = 0; row < rows; ++row) {
        float* const out = logits_.ptr<float>() +
                           (first_row + row) * model_.vocab_size + range.begin;
        std::memcpy(out, slice, range.size() * sizeof(float));
        slice += range.size();
      }
    }
    first_row += rows;
  }
}

absl::Status LogitGather::Finish(StepTrace* trace) {
  const absl::Status status = pending_->Wait();
  if (!status.ok()) return status;
  pending_.reset();
  if (link_.tensor_degree > 1) InterleaveSlices();
  if (trace == nullptr) return absl::OkStatus();
  size_t next = 0;
  for (size_t d = 1; d < plan_->rank_batches.size(); ++d) {
    const Batch& rank_batch = plan_->rank_batches[d];
    if (TracedRows(rank_batch) == 0) continue;
    const int32_t* word =
        moe_layers_.empty() ? nullptr : routing_[next++].data();
    for (const SequenceSlice& slice : rank_batch.sequences) {
      if (!slice.trace_routing) continue;
      SequenceRouting& routing = trace->sequences.emplace_back();
      routing.sequence_id = slice.sequence_id;
      routing.num_tokens = slice.num_tokens;
      routing.expert_ids.resize(model_.num_layers());
      for (int layer : moe_layers_) {
        const int64_t count =
            slice.num_tokens * model_.layers[layer].moe().top_k;
        routing.expert_ids[layer].assign(word, word + count);
        word += count;
      }
    }
  }
  return absl::OkStatus();
}

absl::Status LogitGather::Send(const StepLink& link, const ModelConfig& model,
                               const TensorView& logits,
                               const std::vector<SequenceRouting>& routing) {
  std::vector<SendBuffer> sends;
  const std::array<char, kDoneBytes> done = {};
  if (logits.dims[0] == 0) {
    sends.push_back({0, done.data(), done.size()});
  } else {
    sends.push_back(
        {0, logits.data,
         static_cast<size_t>(logits.dims[0] * logits.dims[1]) * sizeof(float)});
  }
  std::vector<int32_t> words;
  for (const SequenceRouting& sequence : routing) {
    for (int layer : MoeLayers(model)) {
      const std::vector<int32_t>& ids = sequence.expert_ids[layer];
      words.insert(words.end(), ids.begin(), ids.end());
    }
  }
  if (!words.empty()) {
    sends.push_back({0, words.data(), words.size() * sizeof(int32_t)});
  }
  return link.plans->Exchange(sends, {}, kOperation);
}

}  // namespace moe

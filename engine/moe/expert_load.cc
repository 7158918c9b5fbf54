#include "engine/moe/expert_load.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace moe {
namespace {

// Changed whenever the order below is.
constexpr int64_t kWordsVersion = 1;
constexpr size_t kWordsPerLayer = 13;  // and rows_by_expert

double Imbalance(absl::Span<const int64_t> counts) {
  const int64_t total =
      std::accumulate(counts.begin(), counts.end(), int64_t{0});
  if (total == 0) return 0;
  return static_cast<double>(*std::max_element(counts.begin(), counts.end())) *
         static_cast<double>(counts.size()) / static_cast<double>(total);
}

absl::Status BadWords(size_t size, size_t layer) {
  return absl::InvalidArgumentError(absl::StrCat(
      "expert load: ", size, " words end or do not fit in entry ", layer));
}

}  // namespace

absl::Duration ExpertLoad::waited() const {
  absl::Duration sum;
  for (const MoeLayerLoad& layer : layers) sum += layer.waited;
  return sum;
}

absl::Duration ExpertLoad::hidden() const {
  absl::Duration sum;
  for (const MoeLayerLoad& layer : layers) sum += layer.hidden;
  return sum;
}

std::vector<int64_t> ExpertLoad::ToWords() const {
  std::vector<int64_t> words = {kWordsVersion,
                                static_cast<int64_t>(layers.size())};
  for (const MoeLayerLoad& l : layers) {
    words.insert(words.end(),
                 {l.layer, l.first_expert, l.num_experts, l.computed_slots});
    words.insert(words.end(), l.exchanges.begin(), l.exchanges.end());
    words.insert(words.end(),
                 {l.messages, l.bytes, absl::ToInt64Nanoseconds(l.waited),
                  absl::ToInt64Nanoseconds(l.hidden),
                  static_cast<int64_t>(l.rows_by_expert.size())});
    words.insert(words.end(), l.rows_by_expert.begin(), l.rows_by_expert.end());
  }
  return words;
}

absl::StatusOr<ExpertLoad> ExpertLoad::FromWords(
    absl::Span<const int64_t> words) {
  if (words.size() < 2 || words[0] != kWordsVersion || words[1] < 0) {
    return BadWords(words.size(), 0);
  }
  ExpertLoad load;
  size_t at = 2;
  for (int64_t i = 0; i < words[1]; ++i) {
    if (words.size() - at < kWordsPerLayer) return BadWords(words.size(), i);
    const int64_t* const w = words.data() + at;
    at += kWordsPerLayer;
    const int64_t experts = w[kWordsPerLayer - 1];
    if (experts < 0 || static_cast<uint64_t>(experts) > words.size() - at) {
      return BadWords(words.size(), i);
    }
    MoeLayerLoad layer;
    layer.layer = static_cast<int32_t>(w[0]);
    layer.first_expert = static_cast<int32_t>(w[1]);
    layer.num_experts = static_cast<int32_t>(w[2]);
    layer.computed_slots = w[3];
    std::copy_n(w + 4, layer.exchanges.size(), layer.exchanges.begin());
    layer.messages = w[8];
    layer.bytes = w[9];
    layer.waited = absl::Nanoseconds(w[10]);
    layer.hidden = absl::Nanoseconds(w[11]);
    layer.rows_by_expert.assign(words.begin() + at,
                                words.begin() + at + experts);
    at += experts;
    load.layers.push_back(std::move(layer));
  }
  if (at != words.size()) return BadWords(words.size(), load.layers.size());
  return load;
}

absl::StatusOr<std::vector<MoeLayerLoadSummary>> SummarizeExpertLoad(
    absl::Span<const ExpertLoad> ranks, int tensor_degree) {
  std::vector<MoeLayerLoadSummary> summaries;
  if (ranks.empty()) return summaries;
  for (const MoeLayerLoad& layer : ranks[0].layers) {
    MoeLayerLoadSummary summary;
    summary.layer = layer.layer;
    summary.rows_by_expert.resize(layer.rows_by_expert.size());
    summaries.push_back(std::move(summary));
  }
  for (size_t r = 0; r < ranks.size(); ++r) {
    if (ranks[r].layers.size() != summaries.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("expert load: rank ", r, " has ", ranks[r].layers.size(),
                       " MoE layers, rank 0 has ", summaries.size()));
    }
    for (size_t i = 0; i < summaries.size(); ++i) {
      const MoeLayerLoad& layer = ranks[r].layers[i];
      std::vector<int64_t>& rows = summaries[i].rows_by_expert;
      if (layer.layer != summaries[i].layer ||
          layer.rows_by_expert.size() != rows.size()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "expert load: rank ", r, " has ", layer.rows_by_expert.size(),
            " experts in layer ", layer.layer, ", rank 0 has ", rows.size(),
            " in layer ", summaries[i].layer));
      }
      summaries[i].slots_by_rank.push_back(layer.computed_slots);
      if (r % std::max(tensor_degree, 1) != 0) continue;
      for (size_t e = 0; e < rows.size(); ++e) {
        rows[e] += layer.rows_by_expert[e];
      }
    }
  }
  for (MoeLayerLoadSummary& summary : summaries) {
    summary.expert_imbalance = Imbalance(summary.rows_by_expert);
    summary.rank_imbalance = Imbalance(summary.slots_by_rank);
  }
  return summaries;
}

}  // namespace moe

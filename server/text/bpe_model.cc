#include "server/text/bpe_model.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/core/status_macros.h"
#include "server/text/byte_alphabet.h"
#include "server/text/stop_signal.h"

namespace moe {
namespace {

// Far above any real vocabulary; bounds the tables for hostile ids.
constexpr int32_t kMaxVocab = 1 << 24;

uint64_t PairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 |
         static_cast<uint32_t>(right);
}

// A symbol: a run of merged bytes, in a doubly linked list.
struct Node {
  int32_t id;
  int32_t num_bytes;  // 0: merged into the node before it
  int32_t prev;
  int32_t next;
};

// A merge that may apply at the node `left`. It is stale if the ids of the
// nodes have changed since.
struct Candidate {
  int32_t rank;
  int32_t left;
  int32_t left_id;
  int32_t right_id;
  int32_t merged_id;
};

struct AppliesLater {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return std::tie(a.rank, a.left) > std::tie(b.rank, b.left);
  }
};

}  // namespace

absl::StatusOr<BpeModel> BpeModel::Create(const BpeModelSpec& spec) {
  BpeModel model;
  model.fuse_unk_ = spec.fuse_unk;
  model.ignore_merges_ = spec.ignore_merges;
  RETURN_IF_ERROR(model.AddVocab(spec));
  RETURN_IF_ERROR(model.AddMerges(spec));
  return model;
}

absl::Status BpeModel::AddVocab(const BpeModelSpec& spec) {
  if (spec.vocab.empty()) {
    return absl::InvalidArgumentError("the vocabulary is empty");
  }
  entries_.reserve(spec.vocab.size());
  id_of_bytes_.reserve(spec.vocab.size());
  byte_ids_.assign(256, -1);
  std::vector<bool> used;
  for (const auto& [entry, id] : spec.vocab) {
    if (id < 0 || id >= kMaxVocab) {
      return absl::InvalidArgumentError(
          absl::StrFormat("vocab[\"%s\"] is %d; ids go from 0 to %d",
                          absl::CEscape(entry), id, kMaxVocab - 1));
    }
    if (id >= static_cast<int64_t>(used.size())) {
      used.resize(id + 1);
      token_bytes_.resize(id + 1);
    }
    if (used[id]) {
      return absl::InvalidArgumentError(
          absl::StrFormat("vocab[\"%s\"] is %d, which another entry has too",
                          absl::CEscape(entry), id));
    }
    used[id] = true;
    entries_[entry] = id;
    // Entries outside the alphabet ("hello world") cannot result from merges;
    // their bytes are their text.
    const std::optional<std::string> bytes = AlphabetToBytes(entry);
    token_bytes_[id] = bytes.value_or(entry);
    if (!bytes) continue;
    id_of_bytes_[*bytes] = id;
    if (bytes->size() == 1) byte_ids_[static_cast<uint8_t>((*bytes)[0])] = id;
  }
  if (spec.unk_token) {
    unk_id_ = FindEntry(*spec.unk_token);
    if (unk_id_ < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("unk_token \"", absl::CEscape(*spec.unk_token),
                       "\" is not in the vocabulary"));
    }
  }
  return absl::OkStatus();
}

absl::Status BpeModel::AddMerges(const BpeModelSpec& spec) {
  merges_.reserve(spec.merges.size());
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto& [left, right] = spec.merges[rank];
    int32_t ids[3];
    const std::string sides[3] = {left, right, left + right};
    for (int i = 0; i < 3; ++i) {
      ids[i] = FindEntry(sides[i]);
      if (ids[i] >= 0) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("merges[", rank, "] is \"", absl::CEscape(left),
                       "\" + \"", absl::CEscape(right), "\", but \"",
                       absl::CEscape(sides[i]), "\" is not in the vocabulary"));
    }
    // If a pair is listed twice the later rank counts, as in Hugging Face's
    // tokenizers.
    merges_[PairKey(ids[0], ids[1])] = {static_cast<int32_t>(rank), ids[2]};
  }
  return absl::OkStatus();
}

int32_t BpeModel::FindEntry(absl::string_view entry) const {
  const auto it = entries_.find(entry);
  return it == entries_.end() ? -1 : it->second;
}

void BpeModel::TakeFromWholePieces(int32_t id) {
  if (id < 0 || id >= static_cast<int64_t>(token_bytes_.size())) return;
  const auto it = id_of_bytes_.find(token_bytes_[id]);
  if (it != id_of_bytes_.end() && it->second == id) id_of_bytes_.erase(it);
}

const BpeModel::Merge* BpeModel::FindMerge(int32_t left, int32_t right) const {
  const auto it = merges_.find(PairKey(left, right));
  return it == merges_.end() ? nullptr : &it->second;
}

absl::Status BpeModel::Encode(absl::string_view piece,
                              std::vector<BpeSymbol>* symbols, StopSignal* stop,
                              int64_t* num_dropped_bytes) const {
  if (piece.size() > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a word of ", piece.size(), " bytes is too long"));
  }
  const int32_t num_bytes = static_cast<int32_t>(piece.size());
  if (ignore_merges_) {
    const auto it = id_of_bytes_.find(piece);
    if (it != id_of_bytes_.end()) {
      symbols->push_back({it->second, num_bytes});
      return absl::OkStatus();
    }
  }

  // Reused for all pieces, since most are a few bytes long.
  thread_local std::vector<Node> nodes;
  thread_local std::vector<Candidate> candidates;
  nodes.clear();
  candidates.clear();
  int32_t dropped = 0;
  int32_t dropped_first = 0;  // before the first node
  for (const char c : piece) {
    const uint8_t byte = static_cast<uint8_t>(c);
    const int32_t id = byte_ids_[byte] >= 0 ? byte_ids_[byte] : unk_id_;
    if (id < 0) {
      ++dropped;
      ++(nodes.empty() ? dropped_first : nodes.back().num_bytes);
      continue;
    }
    if (fuse_unk_ && byte_ids_[byte] < 0 && !nodes.empty() &&
        nodes.back().id == unk_id_) {
      ++nodes.back().num_bytes;
      continue;
    }
    const int32_t at = static_cast<int32_t>(nodes.size());
    nodes.push_back({id, 1, at - 1, at + 1});
  }
  if (num_dropped_bytes != nullptr) *num_dropped_bytes += dropped;
  if (!nodes.empty()) nodes[0].num_bytes += dropped_first;
  if (nodes.empty()) return absl::OkStatus();
  nodes.back().next = -1;

  const auto candidate_at = [&](int32_t left) -> std::optional<Candidate> {
    const int32_t right = left < 0 ? -1 : nodes[left].next;
    if (right < 0) return std::nullopt;
    const Merge* merge = FindMerge(nodes[left].id, nodes[right].id);
    if (merge == nullptr) return std::nullopt;
    return Candidate{merge->rank, left, nodes[left].id, nodes[right].id,
                     merge->merged_id};
  };
  for (int32_t i = 0; i < static_cast<int32_t>(nodes.size()); ++i) {
    RETURN_IF_ERROR(StopSignal::Check(stop));
    if (auto candidate = candidate_at(i)) candidates.push_back(*candidate);
  }
  std::make_heap(candidates.begin(), candidates.end(), AppliesLater());
  const auto push = [&](std::optional<Candidate> candidate) {
    if (!candidate) return;
    candidates.push_back(*candidate);
    std::push_heap(candidates.begin(), candidates.end(), AppliesLater());
  };
  while (!candidates.empty()) {
    RETURN_IF_ERROR(StopSignal::Check(stop));
    std::pop_heap(candidates.begin(), candidates.end(), AppliesLater());
    const Candidate best = candidates.back();
    candidates.pop_back();
    Node& left = nodes[best.left];
    if (left.num_bytes == 0 || left.id != best.left_id || left.next < 0 ||
        nodes[left.next].id != best.right_id) {
      continue;
    }
    Node& right = nodes[left.next];
    left.id = best.merged_id;
    left.num_bytes += right.num_bytes;
    left.next = right.next;
    right.num_bytes = 0;
    if (left.next >= 0) nodes[left.next].prev = best.left;
    push(candidate_at(left.prev));
    push(candidate_at(best.left));
  }
  for (int32_t i = 0; i >= 0; i = nodes[i].next) {
    symbols->push_back({nodes[i].id, nodes[i].num_bytes});
  }
  return absl::OkStatus();
}

}  // namespace moe

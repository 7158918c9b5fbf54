// The waiting queue, and the admission of its sequences to data ranks.
#include <algorithm>
#include <cassert>

#include "engine/scheduler/scheduler.h"

namespace moe {
namespace {

// A running answer with the whole prompt in the KV cache, or null.
const Sequence* FindDonor(const RequestState& request) {
  for (const Sequence& answer : request.answers) {
    if (answer.state == Sequence::State::kRunning && !answer.in_prompt()) {
      return &answer;
    }
  }
  return nullptr;
}

}  // namespace

void Scheduler::Enqueue(Sequence* sequence) {
  RequestState* request = sequence->request;
  std::vector<Sequence*>& waiting = request->waiting;
  waiting.insert(std::lower_bound(waiting.begin(), waiting.end(), sequence,
                                  [](const Sequence* a, const Sequence* b) {
                                    return a->answer_index < b->answer_index;
                                  }),
                 sequence);
  request->waiting_tokens += sequence->num_known();
  waiting_.insert(request);
}

void Scheduler::Dequeue(Sequence* sequence) {
  RequestState* request = sequence->request;
  std::vector<Sequence*>& waiting = request->waiting;
  waiting.erase(std::find(waiting.begin(), waiting.end(), sequence));
  request->waiting_tokens -= sequence->num_known();
  if (waiting.empty()) waiting_.erase(request);
}

bool Scheduler::IsOpen(const DataRank& rank) const {
  return rank.open && rank.rows_left > 0 &&
         static_cast<int64_t>(rank.running.size()) <
             options_.max_running_sequences;
}

bool Scheduler::AnyOpen() const {
  return std::any_of(ranks_.begin(), ranks_.end(),
                     [&](const DataRank& rank) { return IsOpen(rank); });
}

void Scheduler::Admit() {
  auto next = waiting_.begin();
  while (next != waiting_.end() && AnyOpen()) {
    // Advance first: admitting the last answer removes the request from the
    // queue.
    RequestState* request = *next++;
    AdmitAnswers(request);
  }
}

void Scheduler::AdmitAnswers(RequestState* request) {
  while (!request->waiting.empty()) {
    Sequence* sequence = request->waiting.front();
    DataRank* rank = nullptr;
    const Sequence* donor = nullptr;
    if (request->num_running > 0) {
      donor = FindDonor(*request);
      // They wait for the answer that computes their prompt.
      if (donor == nullptr) return;
      rank = &ranks_[donor->data_rank];
      if (!IsOpen(*rank)) return;
    } else {
      if (!AnyOpen()) return;
      rank = ChooseRank(*sequence);
      if (rank == nullptr) return KeepRankFor(request);
    }
    if (!TryAdmit(rank, sequence, donor)) {
      rank->open = false;
      return;
    }
    request->kept_rank = -1;
  }
}

Scheduler::DataRank* Scheduler::ChooseRank(const Sequence& sequence) {
  DataRank* best = nullptr;
  for (DataRank& rank : ranks_) {
    if (!IsOpen(rank) || !Fits(rank, sequence, 0)) continue;
    const int64_t free = rank.blocks->num_free();
    if (best == nullptr || free > best->blocks->num_free() ||
        (free == best->blocks->num_free() &&
         rank.rows_left > best->rows_left)) {
      best = &rank;
    }
  }
  return best;
}

void Scheduler::KeepRankFor(RequestState* request) {
  // Keep the same data rank reserved: the sequences that run there end
  // eventually.
  if (request->kept_rank < 0) {
    const auto freest = std::max_element(
        ranks_.begin(), ranks_.end(), [](const DataRank& a, const DataRank& b) {
          return a.blocks->num_free() < b.blocks->num_free();
        });
    request->kept_rank = static_cast<int32_t>(freest - ranks_.begin());
  }
  ranks_[request->kept_rank].open = false;
}

int64_t Scheduler::SharedBlocks(const DataRank& rank,
                                const Sequence& sequence) const {
  // At least one token must be computed, for its logits.
  return std::min(sequence.request->prompt_size(), sequence.num_known() - 1) /
         rank.blocks->block_size();
}

bool Scheduler::Fits(const DataRank& rank, const Sequence& sequence,
                     int64_t shared) const {
  const int64_t needed = rank.blocks->BlocksFor(sequence.num_known()) - shared;
  // Running sequences may each need a block soon: leave one for each, or they
  // would preempt the new sequence.
  const int64_t reserve = static_cast<int64_t>(rank.running.size());
  return needed + reserve <= rank.blocks->num_free();
}

bool Scheduler::TryAdmit(DataRank* rank, Sequence* sequence,
                         const Sequence* donor) {
  const int64_t shared = donor == nullptr ? 0 : SharedBlocks(*rank, *sequence);
  if (!Fits(*rank, *sequence, shared)) return false;
  if (donor != nullptr) rank->blocks->Share(donor->id, sequence->id, shared);
  if (!rank->blocks->Reserve(sequence->id, sequence->num_known()).ok()) {
    rank->blocks->Release(sequence->id);
    return false;
  }
  Dequeue(sequence);
  sequence->num_computed = shared * rank->blocks->block_size();
  // Without a donor: the answer that computed the prompt has ended, and this
  // one has not run yet.
  sequence->shares_prompt =
      donor != nullptr ||
      (sequence->request->prompt_reported && sequence->answer.empty());
  sequence->state = Sequence::State::kRunning;
  sequence->data_rank = static_cast<int32_t>(rank - ranks_.data());
  ++sequence->request->num_running;
  rank->running.push_back(sequence);
  AddSlice(rank, sequence, PrefillTokens(*rank, *sequence));
  return true;
}

}  // namespace moe

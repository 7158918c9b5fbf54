#include "engine/scheduler/sequence.h"

namespace moe {

bool ServedBefore(const RequestState& a, const RequestState& b) {
  if (a.promoted != b.promoted) return a.promoted;
  // Promoted requests are ordered by arrival only, so that none overtakes
  // another.
  if (!a.promoted && a.request.priority != b.request.priority) {
    return a.request.priority > b.request.priority;
  }
  return a.request.key < b.request.key;
}

bool ServedBefore(const Sequence& a, const Sequence& b) {
  if (a.request != b.request) return ServedBefore(*a.request, *b.request);
  return a.answer_index < b.answer_index;
}

}  // namespace moe

#include "engine/scheduler/sequence.h"

namespace moe {

bool ServedBefore(const Sequence& a, const Sequence& b) {
  const RequestState& x = *a.request;
  const RequestState& y = *b.request;
  if (x.promoted != y.promoted) return x.promoted;
  // Among the promoted, arrival alone counts: none of them can be overtaken.
  if (!x.promoted && x.request.priority != y.request.priority) {
    return x.request.priority > y.request.priority;
  }
  if (x.request.key != y.request.key) return x.request.key < y.request.key;
  return a.answer_index < b.answer_index;
}

}  // namespace moe

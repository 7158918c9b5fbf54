#include "server/generation/live_requests.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace moe {

absl::StatusOr<std::string> LiveRequests::Add(const std::string& request_id) {
  std::lock_guard lock(mutex_);
  if (num_live_ >= max_requests_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the server handles ", num_live_,
                     " requests, as many as it takes at a time"));
  }
  ++num_live_;
  std::string engine_id = absl::StrCat(request_id, "#", ++num_added_);
  engine_ids_[request_id].push_back(engine_id);
  return engine_id;
}

void LiveRequests::Remove(const std::string& request_id,
                          const std::string& engine_id) {
  std::lock_guard lock(mutex_);
  const auto entry = engine_ids_.find(request_id);
  if (entry == engine_ids_.end()) return;
  num_live_ -= std::erase(entry->second, engine_id);
  if (entry->second.empty()) engine_ids_.erase(entry);
  removed_.notify_all();
}

std::vector<std::string> LiveRequests::Find(
    const std::string& request_id) const {
  std::lock_guard lock(mutex_);
  const auto entry = engine_ids_.find(request_id);
  if (entry == engine_ids_.end()) return {};
  return entry->second;
}

int64_t LiveRequests::size() const {
  std::lock_guard lock(mutex_);
  return num_live_;
}

void LiveRequests::BeginCall() {
  std::lock_guard lock(mutex_);
  ++num_calls_;
}

void LiveRequests::EndCall() {
  std::lock_guard lock(mutex_);
  --num_calls_;
  removed_.notify_all();
}

bool LiveRequests::WaitEmpty(absl::Duration timeout) const {
  // A year at most, for the clock's range.
  timeout = std::min<absl::Duration>(timeout, absl::Hours(24 * 365));
  std::unique_lock lock(mutex_);
  return removed_.wait_for(lock, absl::ToChronoMicroseconds(timeout),
                           [this] { return num_live_ + num_calls_ == 0; });
}

}  // namespace moe

#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace moe {

// The live requests by the ids that clients gave them. These need not be unique
// (a client may retry or hedge with the same id), so each request gets a unique
// id for the engine. Thread-safe.
class LiveRequests {
 public:
  explicit LiveRequests(int64_t max_requests) : max_requests_(max_requests) {}

  // The engine's id for a new request. kResourceExhausted if max_requests are
  // live already.
  absl::StatusOr<std::string> Add(const std::string& request_id);
  void Remove(const std::string& request_id, const std::string& engine_id);

  // The engine's ids of the live requests under `request_id`.
  std::vector<std::string> Find(const std::string& request_id) const;

  int64_t size() const;

  // A front end's call, which lasts until its client has the end of its
  // request.
  void BeginCall();
  void EndCall();

  // Waits until there is no live request and no call; false if `timeout`
  // passes first.
  bool WaitEmpty(absl::Duration timeout) const;

 private:
  const int64_t max_requests_;
  mutable std::mutex mutex_;
  mutable std::condition_variable removed_;
  int64_t num_added_ = 0;  // guarded by mutex_, as are those below
  int64_t num_live_ = 0;
  int64_t num_calls_ = 0;
  absl::flat_hash_map<std::string, std::vector<std::string>> engine_ids_;
};

}  // namespace moe

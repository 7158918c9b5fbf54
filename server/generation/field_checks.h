#pragma once

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "server/generation/request_errors.h"

namespace moe {

// Checks fields of one request and collects what is wrong with them. `field`
// is always the path that the client sees. Not thread-safe.
class FieldChecks {
 public:
  explicit FieldChecks(int64_t vocab_size) : vocab_size_(vocab_size) {}

  // Sets `out` to a `value` in [min, max], which NaN is not; else adds a
  // violation.
  void ReadFloat(float value, absl::string_view field, float min, float max,
                 float& out);
  // The same for (0, max].
  void ReadPositive(float value, absl::string_view field, float max,
                    float& out);
  // True if `value` is in [min, max]; else adds a violation.
  bool CheckCount(uint32_t value, absl::string_view field, int64_t min,
                  int64_t max);
  // The ids of a repeated field; none, and a violation, if one of them is not
  // in the vocabulary.
  template <typename Ids>
  std::vector<int32_t> ReadIds(const Ids& ids, absl::string_view field) {
    if (!CheckIds(ids, field)) return {};
    return std::vector<int32_t>(ids.begin(), ids.end());
  }

  // The same as a set: ascending, each once, however many were sent.
  template <typename Ids>
  std::vector<int32_t> ReadIdSet(const Ids& ids, absl::string_view field) {
    if (!CheckIds(ids, field)) return {};
    std::vector<bool> contained(vocab_size_);
    for (const auto id : ids) contained[id] = true;
    std::vector<int32_t> set;
    for (int64_t id = 0; id < vocab_size_; ++id) {
      if (contained[id]) set.push_back(static_cast<int32_t>(id));
    }
    return set;
  }

  void Add(absl::string_view field, absl::string_view description) {
    violations_.Add(field, description);
  }

  int64_t vocab_size() const { return vocab_size_; }
  // OK, or kInvalidArgument with all violations so far.
  absl::Status ToStatus() const { return violations_.ToStatus(); }

 private:
  template <typename Ids>
  bool CheckIds(const Ids& ids, absl::string_view field) {
    for (int i = 0; i < ids.size(); ++i) {
      if (ids[i] < vocab_size_) continue;
      violations_.Add(absl::StrCat(field, "[", i, "]"),
                      absl::StrFormat("is %d; token ids are below the "
                                      "vocabulary's size, %d",
                                      ids[i], vocab_size_));
      return false;
    }
    return true;
  }

  const int64_t vocab_size_;
  FieldViolations violations_;
};

}  // namespace moe

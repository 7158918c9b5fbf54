#include "comm/idle_doorbell.h"

#include "absl/strings/str_cat.h"
#include "comm/futex_word.h"

namespace moe {
namespace {

class ThreadDoorbell : public IdleDoorbell {
 public:
  ThreadDoorbell(int rank, std::shared_ptr<FutexWord> word)
      : rank_(rank), word_(std::move(word)) {}

  absl::Status Ring() override {
    if (rank_ != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("IdleDoorbell: rank ", rank_, " may not ring"));
    }
    word_->Increment();
    return absl::OkStatus();
  }

  absl::Status Wait(absl::Duration timeout) override {
    if (rank_ == 0) {
      return absl::FailedPreconditionError(
          "IdleDoorbell: rank 0 rings, it may not wait");
    }
    if (!word_->WaitWhile(answered_, Deadline(timeout))) {
      return absl::DeadlineExceededError(
          absl::StrCat("IdleDoorbell: rank ", rank_, " had no ring in ",
                       absl::FormatDuration(timeout)));
    }
    ++answered_;
    return absl::OkStatus();
  }

 private:
  const int rank_;
  const std::shared_ptr<FutexWord> word_;  // shared by the ranks
  uint32_t answered_ = 0;                  // rings that Wait returned for
};

}  // namespace

std::vector<std::unique_ptr<IdleDoorbell>> MakeThreadDoorbells(int size) {
  const auto word = std::make_shared<FutexWord>();  // zeroed
  std::vector<std::unique_ptr<IdleDoorbell>> doorbells;
  for (int r = 0; r < size; ++r) {
    doorbells.push_back(std::make_unique<ThreadDoorbell>(r, word));
  }
  return doorbells;
}

}  // namespace moe

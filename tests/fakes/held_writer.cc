#include "tests/fakes/held_writer.h"

#include <chrono>
#include <utility>

#include "gtest/gtest.h"

namespace moe {
namespace {

constexpr std::chrono::seconds kWaitTimeout(10);

}  // namespace

bool HeldWriter::Write(v1::GenerateChunk chunk) {
  std::lock_guard lock(mutex_);
  chunks_.push_back(std::move(chunk));
  changed_.notify_all();
  return true;
}

void HeldWriter::End(const absl::Status& status) {
  std::lock_guard lock(mutex_);
  status_ = status;
  changed_.notify_all();
}

v1::GenerateChunk HeldWriter::WaitForChunk(size_t n) {
  std::unique_lock lock(mutex_);
  EXPECT_TRUE(changed_.wait_for(lock, kWaitTimeout,
                                [&] { return chunks_.size() > n; }));
  return chunks_.size() > n ? chunks_[n] : v1::GenerateChunk();
}

absl::Status HeldWriter::WaitForEnd() {
  std::unique_lock lock(mutex_);
  EXPECT_TRUE(changed_.wait_for(lock, kWaitTimeout,
                                [&] { return status_.has_value(); }));
  return status_.value_or(absl::InternalError("no end"));
}

bool HeldWriter::ended() {
  std::lock_guard lock(mutex_);
  return status_.has_value();
}

size_t HeldWriter::num_chunks() {
  std::lock_guard lock(mutex_);
  return chunks_.size();
}

}  // namespace moe

#include "engine/checkpoint/torch/torch_storage.h"

#include "engine/checkpoint/torch/crc32.h"

namespace moe {
namespace {

// A storage is verified if at least this fraction of it is read.
constexpr size_t kMaxUnusedRatio = 4;

}  // namespace

void TorchStorage::Announce(size_t num_bytes, absl::string_view name) {
  used_bytes_ += num_bytes;
  if (name_.empty()) name_ = std::string(name);
}

bool TorchStorage::is_checked() const {
  return crc_ != 0 && used_bytes_ >= bytes_.size() / kMaxUnusedRatio;
}

bool TorchStorage::is_unread() const {
  return is_checked() &&
         checksum_.load(std::memory_order_relaxed) == Checksum::kUnknown;
}

bool TorchStorage::Verify(std::atomic<int64_t>& bytes_read) const {
  Checksum state = checksum_.load(std::memory_order_relaxed);
  if (state == Checksum::kUnknown) {
    state = Checksum::kGood;
    if (is_checked()) {
      // Two threads may both compute it, with equal results.
      if (Crc32(bytes_) != crc_) state = Checksum::kBad;
      bytes_read += static_cast<int64_t>(bytes_.size());
    }
    checksum_.store(state, std::memory_order_relaxed);
  }
  return state == Checksum::kGood;
}

void TorchStorage::AddRuns(int64_t first_byte, int64_t run_bytes,
                           int64_t step_bytes, int64_t num_runs) const {
  if (!is_checked()) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!pieces_.has_value()) pieces_.emplace(bytes_.size());
  for (int64_t i = 0; i < num_runs; ++i) {
    const auto offset = static_cast<size_t>(first_byte + i * step_bytes);
    pieces_->Add(offset, bytes_.substr(offset, static_cast<size_t>(run_bytes)));
  }
}

std::optional<PartialChecksum> TorchStorage::TakePartialChecksum(
    int64_t number) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!pieces_.has_value()) return std::nullopt;
  const PartialChecksum sum = {
      .storage = number,
      .bytes = static_cast<int64_t>(pieces_->num_bytes()),
      .sum = pieces_->sum()};
  pieces_.reset();
  return sum;
}

bool TorchStorage::Accept(const PartialChecksum& merged) const {
  if (merged.bytes != static_cast<int64_t>(bytes_.size()) ||
      Crc32OfPieces(static_cast<uint32_t>(merged.sum), bytes_.size()) != crc_) {
    return false;
  }
  checksum_.store(Checksum::kGood, std::memory_order_relaxed);
  return true;
}

}  // namespace moe

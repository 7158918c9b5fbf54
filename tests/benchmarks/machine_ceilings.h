#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/core/thread_pool.h"

namespace moe {

// The best and the median of repeated measurements of a rate.
class RateSamples {
 public:
  void Add(double rate) { rates_.push_back(rate); }
  double best() const;
  double median() const;

 private:
  std::vector<double> rates_;
};

// Reads a buffer far larger than all caches from memory (huge pages where the
// system grants them), with the widest vectors. The upper bound for everything
// that streams weights.
class ReadRateProbe {
 public:
  // The buffer has at least `min_bytes`, and four times the last-level cache.
  explicit ReadRateProbe(size_t min_bytes = size_t{1} << 30);

  // Bytes per second of one pass over all of the buffer, or over `bytes` of it,
  // on the pool's threads.
  double Run(ThreadPool& threads, size_t bytes = SIZE_MAX);

  size_t num_bytes() const { return num_bytes_; }

 private:
  struct Free {
    void operator()(uint8_t* p) const;
  };
  size_t num_bytes_ = 0;
  size_t position_ = 0;  // where the next partial pass starts
  std::unique_ptr<uint8_t, Free> memory_;
};

// Float32 operations per second (2 per fused multiply-add) of FMA chains that
// stay in registers, on the pool's threads, for about a millisecond.
double MeasureFmaRate(ThreadPool& threads);

// Of the last-level cache as the system reports it; 0 if it does not.
size_t LastLevelCacheBytes();

}  // namespace moe

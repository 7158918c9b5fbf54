#include "tests/benchmarks/machine_ceilings.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/benchmarks/machine_ceilings.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace moe::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Sums all of the memory; `bytes` is a multiple of 1024.
uint64_t ReadAll(const uint8_t* memory, size_t bytes) {
  const hn::ScalableTag<uint32_t> d;
  const size_t lanes = hn::Lanes(d);
  const auto* words = reinterpret_cast<const uint32_t*>(memory);
  const size_t num_words = bytes / sizeof(uint32_t);
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  for (size_t i = 0; i < num_words; i += 4 * lanes) {
    s0 = hn::Add(s0, hn::Load(d, words + i));
    s1 = hn::Add(s1, hn::Load(d, words + i + lanes));
    s2 = hn::Add(s2, hn::Load(d, words + i + 2 * lanes));
    s3 = hn::Add(s3, hn::Load(d, words + i + 3 * lanes));
  }
  return hn::GetLane(
      hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

// Twelve chains: enough for two units of five cycles latency, few enough for
// sixteen registers. Returns operations done.
uint64_t RunFma(uint64_t steps, float* result) {
  const hn::ScalableTag<float> d;
  const auto a = hn::Set(d, 0.999f), b = hn::Set(d, 0.001f);
  // Different starts: equal chains would be computed once.
  auto s0 = hn::Iota(d, 0), s1 = hn::Iota(d, 1), s2 = hn::Iota(d, 2);
  auto s3 = hn::Iota(d, 3), s4 = hn::Iota(d, 4), s5 = hn::Iota(d, 5);
  auto s6 = hn::Iota(d, 6), s7 = hn::Iota(d, 7), s8 = hn::Iota(d, 8);
  auto s9 = hn::Iota(d, 9), s10 = hn::Iota(d, 10), s11 = hn::Iota(d, 11);
  for (uint64_t i = 0; i < steps; ++i) {
    s0 = hn::MulAdd(s0, a, b);
    s1 = hn::MulAdd(s1, a, b);
    s2 = hn::MulAdd(s2, a, b);
    s3 = hn::MulAdd(s3, a, b);
    s4 = hn::MulAdd(s4, a, b);
    s5 = hn::MulAdd(s5, a, b);
    s6 = hn::MulAdd(s6, a, b);
    s7 = hn::MulAdd(s7, a, b);
    s8 = hn::MulAdd(s8, a, b);
    s9 = hn::MulAdd(s9, a, b);
    s10 = hn::MulAdd(s10, a, b);
    s11 = hn::MulAdd(s11, a, b);
  }
  s0 = hn::Add(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)),
               hn::Add(hn::Add(s4, s5), hn::Add(s6, s7)));
  s0 = hn::Add(s0, hn::Add(hn::Add(s8, s9), hn::Add(s10, s11)));
  *result = hn::GetLane(hn::SumOfLanes(d, s0));
  return steps * 12 * 2 * hn::Lanes(d);
}

}  // namespace
}  // namespace moe::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace moe {
namespace {

HWY_EXPORT(ReadAll);
HWY_EXPORT(RunFma);

constexpr size_t kHugePage = size_t{2} << 20;

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

// Keeps results alive, so that nothing is optimised away.
std::atomic<uint64_t> sink;

}  // namespace

double RateSamples::best() const {
  return rates_.empty() ? 0 : *std::max_element(rates_.begin(), rates_.end());
}

double RateSamples::median() const {
  if (rates_.empty()) return 0;
  std::vector<double> sorted = rates_;
  std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2,
                   sorted.end());
  return sorted[sorted.size() / 2];
}

size_t LastLevelCacheBytes() {
  long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
  if (bytes <= 0) bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return bytes > 0 ? static_cast<size_t>(bytes) : 0;
}

ReadRateProbe::ReadRateProbe(size_t min_bytes) {
  num_bytes_ = std::max(min_bytes, 4 * LastLevelCacheBytes());
  num_bytes_ = (num_bytes_ + kHugePage - 1) / kHugePage * kHugePage;
  void* memory = std::aligned_alloc(kHugePage, num_bytes_);
  if (memory == nullptr) {
    std::fprintf(stderr, "no memory for a buffer of %zu MiB\n",
                 num_bytes_ >> 20);
    std::exit(1);
  }
  memory_.reset(static_cast<uint8_t*>(memory));
  (void)madvise(memory, num_bytes_, MADV_HUGEPAGE);
  std::memset(memory, 1, num_bytes_);
}

void ReadRateProbe::Free::operator()(uint8_t* p) const { std::free(p); }

double ReadRateProbe::Run(ThreadPool& threads, size_t bytes) {
  constexpr size_t kChunk = size_t{1} << 20;
  const int64_t num_chunks = std::min(bytes, num_bytes_) / kChunk;
  const size_t first = position_;
  position_ = (position_ + num_chunks * kChunk) % num_bytes_;
  const auto start = std::chrono::steady_clock::now();
  threads.ParallelFor(num_chunks, [&](int64_t task, int) {
    const size_t offset = (first + task * kChunk) % num_bytes_;
    sink.fetch_add(
        HWY_DYNAMIC_DISPATCH(ReadAll)(memory_.get() + offset, kChunk),
        std::memory_order_relaxed);
  });
  return num_chunks * kChunk / SecondsSince(start);
}

double MeasureFmaRate(ThreadPool& threads) {
  constexpr uint64_t kSteps = 50'000;
  constexpr int64_t kTasksPerThread = 16;
  std::atomic<uint64_t> operations{0};
  const auto start = std::chrono::steady_clock::now();
  threads.ParallelFor(kTasksPerThread * threads.num_threads(), [&](int64_t,
                                                                   int) {
    float result;
    operations.fetch_add(HWY_DYNAMIC_DISPATCH(RunFma)(kSteps, &result),
                         std::memory_order_relaxed);
    sink.fetch_add(static_cast<uint64_t>(result), std::memory_order_relaxed);
  });
  return operations.load() / SecondsSince(start);
}

}  // namespace moe
#endif  // HWY_ONCE

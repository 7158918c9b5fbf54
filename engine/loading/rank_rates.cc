#include "engine/loading/rank_rates.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "comm/deadline.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/status_macros.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/weight_matrix.h"

namespace moe {
namespace {

// Units of work of the threads: several for each, so that none waits long for a
// slow one.
constexpr int64_t kPieceBytes = 512 << 10;
constexpr int64_t kPieceWords = kPieceBytes / sizeof(uint64_t);
constexpr int kPiecesPerThread = 4;
constexpr int64_t kMinPieces = 16;
constexpr int64_t kMaxPieces = 64;
constexpr int kNumReads = 3;

constexpr int64_t kRows = 32;
constexpr int64_t kFeatures = 768;
constexpr absl::Duration kComputingTime = absl::Milliseconds(4);

// Writes with non-temporal stores, which evict the data from the caches.
void WriteToMemory(uint64_t* words, int64_t count) {
#if defined(__SSE2__)
  const __m128i ones = _mm_set1_epi64x(1);
  for (int64_t i = 0; i < count; i += 2) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(words + i), ones);
  }
  _mm_sfence();
#else
  std::fill_n(words, count, 1);
#endif
}

// Four sums hide the latency of an addition.
uint64_t Sum(const uint64_t* words, int64_t count) {
  uint64_t sums[4] = {};
  for (int64_t i = 0; i < count; i += 4) {
    for (int j = 0; j < 4; ++j) sums[j] += words[i + j];
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

// [rows, kFeatures] f32 in pinned memory.
absl::StatusOr<Tensor> FilledHostTensor(int64_t rows, float value,
                                        DeviceBackend& backend) {
  ASSIGN_OR_RETURN(Tensor tensor, Tensor::AllocatePinned(backend, DType::kF32,
                                                         {rows, kFeatures}));
  std::fill_n(tensor.ptr<float>(), tensor.view().num_elements(), value);
  return tensor;
}

}  // namespace

absl::StatusOr<double> MeasureReadRate(ThreadPool& threads) {
  const int64_t pieces =
      std::clamp<int64_t>(int64_t{kPiecesPerThread} * threads.num_threads(),
                          kMinPieces, kMaxPieces);
  // Tensors are aligned to cache lines.
  ASSIGN_OR_RETURN(
      Tensor memory,
      Tensor::Allocate(DType::kF32, {pieces, kPieceBytes / sizeof(float)}));
  auto* const words = memory.ptr<uint64_t>();
  std::atomic<uint64_t> sum = 0;  // keeps the compiler from dropping the reads
  std::vector<double> seconds;
  for (int i = 0; i < kNumReads; ++i) {
    threads.ParallelFor(pieces, [&](int64_t piece, int) {
      WriteToMemory(words + piece * kPieceWords, kPieceWords);
    });
    const Deadline clock(absl::InfiniteDuration());
    threads.ParallelFor(pieces, [&](int64_t piece, int) {
      sum += Sum(words + piece * kPieceWords, kPieceWords);
    });
    seconds.push_back(absl::ToDoubleSeconds(clock.Elapsed()));
  }
  std::sort(seconds.begin(), seconds.end());
  return pieces * kPieceBytes / std::max(seconds[kNumReads / 2], 1e-9);
}

absl::StatusOr<double> MeasureMultiplyAddRate(DType dtype, Stream& stream) {
  // Values of normal size: some processors are slow with denormals.
  ASSIGN_OR_RETURN(const Tensor source,
                   FilledHostTensor(kFeatures, 0.5f, stream.backend()));
  ASSIGN_OR_RETURN(const Tensor host_x,
                   FilledHostTensor(kRows, 0.25f, stream.backend()));
  ASSIGN_OR_RETURN(
      const Tensor x,
      Tensor::Allocate(stream.backend(), DType::kF32, {kRows, kFeatures}));
  ASSIGN_OR_RETURN(
      const Tensor y,
      Tensor::Allocate(stream.backend(), DType::kF32, {kRows, kFeatures}));
  RETURN_IF_ERROR(stream.Copy(host_x.view(), x.view()));
  ASSIGN_OR_RETURN(const WeightMatrix weight,
                   PackWeight(source.view(), dtype, stream));
  LinearGroup group;
  group.weight = &weight;
  group.x = x.view();
  group.y = y.view();
  RETURN_IF_ERROR(Linear(group, stream));  // warms up
  RETURN_IF_ERROR(stream.Synchronize());
  int64_t products = 0;
  const Deadline clock(absl::InfiniteDuration());
  do {
    RETURN_IF_ERROR(Linear(group, stream));
    RETURN_IF_ERROR(stream.Synchronize());
    ++products;
  } while (clock.Elapsed() < kComputingTime);
  return 2.0 * kRows * kFeatures * kFeatures * products /
         absl::ToDoubleSeconds(clock.Elapsed());
}

}  // namespace moe

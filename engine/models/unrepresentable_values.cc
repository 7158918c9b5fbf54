#include "engine/models/unrepresentable_values.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "kernels/core/cpu_stream.h"

namespace moe {
namespace {

// Of one task.
constexpr int64_t kPieceElements = int64_t{1} << 16;

// Without its sign a number's bits ascend with its magnitude: at and above
// these it is unfit.
struct Limits {
  uint32_t infinity = 0;   // of the source
  uint32_t too_large = 0;  // that rounds to infinity in the target
};

Limits LimitsOf(DType source, DType target) {
  switch (source) {
    case DType::kF16:
      return {0x7c00, 0x7c00};  // which all types hold
    case DType::kBf16:
      return {0x7f80, target == DType::kF16 ? 0x4780u : 0x7f80u};  // 2^16
    default:
      break;
  }
  const uint32_t infinity = 0x7f800000;
  // Half way from the largest finite number to the next.
  if (target == DType::kF16) return {infinity, 0x477ff000};  // 65520
  if (target == DType::kBf16) return {infinity, 0x7f7f8000};
  return {infinity, infinity};
}

// `word` in each lane of 64 bits.
template <typename Word>
constexpr uint64_t Repeat(Word word) {
  return ~uint64_t{0} / static_cast<Word>(~Word{0}) * word;
}

// Whether any of `count` words is at or above `limit`, signs aside: several
// words at a time, as the sum of a magnitude and what is missing from the limit
// to the sign's bit sets just that bit.
template <typename Word>
bool AnyReaches(const Word* words, int64_t count, uint32_t limit) {
  constexpr Word kSign = static_cast<Word>(~(static_cast<Word>(~Word{0}) >> 1));
  constexpr uint64_t kMagnitudes = ~Repeat<Word>(kSign);
  const uint64_t missing = Repeat<Word>(static_cast<Word>(kSign - limit));
  constexpr int64_t kLanes = sizeof(uint64_t) / sizeof(Word);
  constexpr int64_t kUnrolled = 8;
  uint64_t reached = 0;
  uint64_t block[kUnrolled];
  int64_t i = 0;
  for (; i + kUnrolled * kLanes <= count; i += kUnrolled * kLanes) {
    std::memcpy(block, words + i, sizeof(block));
    for (int64_t b = 0; b < kUnrolled; ++b) {
      reached |= (block[b] & kMagnitudes) + missing;
    }
  }
  for (; i < count; ++i) {
    reached |= Repeat<Word>(words[i] & static_cast<Word>(~kSign)) + missing;
  }
  return (reached & ~kMagnitudes) != 0;
}

template <typename Word>
void Count(const TensorView& source, const Limits& limits, Stream& stream,
           UnrepresentableValues* unfit) {
  constexpr Word kMagnitude = static_cast<Word>(~Word{0}) >> 1;
  const Word* words = source.ptr<Word>();
  const int64_t total = source.num_elements();
  std::atomic<int64_t> not_finite{0}, too_large{0};
  static_cast<CpuStream&>(stream).threads().ParallelFor(
      (total + kPieceElements - 1) / kPieceElements, [&](int64_t piece, int) {
        const int64_t begin = piece * kPieceElements;
        const int64_t end = std::min(total, begin + kPieceElements);
        if (!AnyReaches(words + begin, end - begin, limits.too_large)) return;
        for (int64_t i = begin; i < end; ++i) {
          const Word magnitude = words[i] & kMagnitude;
          if (magnitude >= limits.infinity) {
            ++not_finite;
          } else if (magnitude >= limits.too_large) {
            ++too_large;
          }
        }
      });
  unfit->not_finite = not_finite;
  unfit->too_large = too_large;
}

}  // namespace

UnrepresentableValues CountUnrepresentableValues(const TensorView& source, DType as,
                             Stream& stream) {
  const Limits limits = LimitsOf(source.dtype, as);
  UnrepresentableValues unfit;
  if (source.dtype == DType::kF32) {
    Count<uint32_t>(source, limits, stream, &unfit);
  } else {
    Count<uint16_t>(source, limits, stream, &unfit);
  }
  return unfit;
}

}  // namespace moe

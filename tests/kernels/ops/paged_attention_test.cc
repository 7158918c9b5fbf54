#include "kernels/ops/paged_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/core/cpu_stream.h"
#include "kernels/ops/kv_cache_append.h"
#include "tests/kernels/ops/on_device.h"
#include "tests/kernels/ops/op_test.h"

namespace moe {
namespace {

struct Shape {
  int64_t heads, kv_heads, head_dim;
};

// One sequence with its queries, keys and values at all positions.
struct Sequence {
  Sequence(const Shape& shape, int64_t length, uint32_t seed)
      : q(RandomTensor({length, shape.heads, shape.head_dim}, seed, 2.0f)),
        k(RandomTensor({length, shape.kv_heads, shape.head_dim}, seed + 1,
                       2.0f)),
        v(RandomTensor({length, shape.kv_heads, shape.head_dim}, seed + 2)) {}
  int64_t length() const { return q.dim(0); }
  Tensor q, k, v;
};

// A cache whose unwritten slots hold NaN: reading one shows.
struct Cache {
  Cache(const Shape& shape, int64_t blocks, int64_t block_size)
      : block_size(block_size),
        keys(MakeTensor({blocks, shape.kv_heads, shape.head_dim, block_size})),
        values(
            MakeTensor({blocks, shape.kv_heads, block_size, shape.head_dim})) {
    for (Tensor* t : {&keys, &values}) {
      std::fill_n(t->ptr<float>(), t->view().num_elements(),
                  std::numeric_limits<float>::quiet_NaN());
    }
  }
  int64_t block_size;
  Tensor keys, values;
};

std::vector<double> Reference(const Sequence& s, const Shape& shape,
                              int64_t row, int64_t head, double scale) {
  const int64_t d = shape.head_dim;
  const int64_t kv = head / (shape.heads / shape.kv_heads);
  std::vector<double> scores(row + 1), out(d);
  for (int64_t t = 0; t <= row; ++t) {
    for (int64_t c = 0; c < d; ++c) {
      scores[t] +=
          double(s.q.ptr<float>()[(row * shape.heads + head) * d + c]) *
          s.k.ptr<float>()[(t * shape.kv_heads + kv) * d + c];
    }
    scores[t] *= scale;
  }
  const double max = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& x : scores) sum += x = std::exp(x - max);
  for (int64_t t = 0; t <= row; ++t) {
    for (int64_t c = 0; c < d; ++c) {
      out[c] +=
          scores[t] / sum * s.v.ptr<float>()[(t * shape.kv_heads + kv) * d + c];
    }
  }
  return out;
}

// What PagedAttention must know of sequences.
struct Sequences {
  std::vector<int32_t> offsets = {0};
  std::vector<int32_t> contexts;
  std::vector<int32_t> blocks;  // [sequences, width]
  int64_t width = 1;

  // Sequences have `num_blocks` blocks at most.
  explicit Sequences(size_t num_blocks)
      : width(static_cast<int64_t>(num_blocks)) {}

  void Add(int64_t num_tokens, int64_t start, std::vector<int32_t> block_ids) {
    offsets.push_back(offsets.back() + static_cast<int32_t>(num_tokens));
    contexts.push_back(static_cast<int32_t>(start + num_tokens));
    block_ids.resize(width);
    blocks.insert(blocks.end(), block_ids.begin(), block_ids.end());
  }
  PagedAttentionArgs Args(const TensorView& q, const Cache& cache, float scale,
                          const TensorView& out) {
    return {
        .q = q,
        .key_cache = cache.keys.view(),
        .value_cache = cache.values.view(),
        .sequence_offsets = ViewOf(offsets),
        .context_lengths = ViewOf(contexts),
        .block_table = MakeView(blocks.data(), DType::kI32,
                                {static_cast<int64_t>(contexts.size()), width}),
        .scale = scale,
        .out = out};
  }
};

class PagedAttentionTest : public VariantTest {
 protected:
  // Runs `s` in steps of `chunk` tokens, its blocks placed by `first_block` and
  // `block_step`, and returns [length, heads, head_dim].
  Tensor Run(const Sequence& s, const Shape& shape, int64_t chunk,
             int64_t block_size, int64_t first_block, int64_t block_step,
             Stream& stream) {
    const int64_t used = (s.length() + block_size - 1) / block_size;
    const int64_t blocks = first_block + used * std::abs(block_step) + 1;
    Cache cache(shape, blocks, block_size);
    std::vector<int32_t> block_ids(used);
    for (int64_t b = 0; b < used; ++b) {
      block_ids[b] = block_step > 0 ? first_block + b * block_step
                                    : blocks - 1 + b * block_step;
    }
    Tensor out = MakeTensor({s.length(), shape.heads, shape.head_dim});
    for (int64_t begin = 0; begin < s.length(); begin += chunk) {
      const int64_t end = std::min(begin + chunk, s.length());
      std::vector<int64_t> slots;
      for (int64_t p = begin; p < end; ++p) {
        slots.push_back(block_ids[p / block_size] * block_size +
                        p % block_size);
      }
      EXPECT_TRUE(
          OnDevice(KvCacheAppend,
                   {s.k.view().Rows(begin, end), s.v.view().Rows(begin, end),
                    ViewOf(slots), cache.keys.view(), cache.values.view()},
                   stream)
              .ok());
      Sequences sequences(block_ids.size());
      sequences.Add(end - begin, begin, block_ids);
      const absl::Status status =
          OnDevice(PagedAttention,
                   sequences.Args(s.q.view().Rows(begin, end), cache, 0.25f,
                                  out.view().Rows(begin, end)),
                   stream);
      EXPECT_TRUE(status.ok()) << status;
    }
    return out;
  }
};

TEST_P(PagedAttentionTest, EqualsTheDoubleReference) {
  for (const Shape& shape :
       {Shape{4, 4, 16}, Shape{6, 2, 20}, Shape{2, 1, 64}, Shape{1, 1, 3}}) {
    const Sequence s(shape, 150, 7);
    const Tensor out = Run(s, shape, 150, 16, 2, 3, stream_);
    for (int64_t row : {0, 1, 63, 64, 65, 149}) {
      for (int64_t h = 0; h < shape.heads; ++h) {
        const auto want = Reference(s, shape, row, h, 0.25);
        for (int64_t c = 0; c < shape.head_dim; ++c) {
          ASSERT_NEAR(
              out.ptr<float>()[(row * shape.heads + h) * shape.head_dim + c],
              want[c], 2e-6)
              << "row " << row << " head " << h << " channel " << c;
        }
      }
    }
  }
}

TEST_P(PagedAttentionTest, ARowHasTheSameBitsHoweverItIsComputed) {
  for (const Shape& shape : {Shape{4, 4, 16}, Shape{6, 2, 40}}) {
    const Sequence s(shape, 201, 11);
    const int64_t n = s.q.view().num_elements();
    const Tensor base = Run(s, shape, 201, 16, 0, 1, stream_);
    for (int64_t chunk : {1, 7, 64, 200}) {
      const Tensor out = Run(s, shape, chunk, 16, 0, 1, stream_);
      EXPECT_TRUE(SameBits(base.ptr<float>(), out.ptr<float>(), n))
          << "chunk " << chunk;
    }
    for (int64_t block_size : {4, 8, 32, 64, 128, 256}) {
      const Tensor out = Run(s, shape, 33, block_size, 1, -1, stream_);
      EXPECT_TRUE(SameBits(base.ptr<float>(), out.ptr<float>(), n))
          << "block size " << block_size;
    }
    for (int threads : {2, 3}) {
      ThreadPool pool(threads);
      CpuStream stream(pool);
      const Tensor out = Run(s, shape, 201, 16, 5, -2, stream);
      EXPECT_TRUE(SameBits(base.ptr<float>(), out.ptr<float>(), n))
          << threads << " threads";
    }
  }
}

TEST_P(PagedAttentionTest, SequencesOfABatchDoNotTouchEachOther) {
  const Shape shape{2, 2, 24};
  const int64_t lengths[] = {1, 70, 13};
  Cache cache(shape, 64, 8);
  Tensor q = MakeTensor({84, 2, 24}), out = MakeTensor({84, 2, 24});
  std::vector<std::vector<int32_t>> block_ids(3);
  Sequences batch(9);
  int32_t row = 0, block = 0;
  std::vector<Tensor> alone;
  for (int i = 0; i < 3; ++i) {
    const Sequence s(shape, lengths[i], 100 + 10 * i);
    alone.push_back(Run(s, shape, lengths[i], 8, 0, 1, stream_));
    std::vector<int64_t> slots;
    for (int64_t p = 0; p < lengths[i]; ++p) {
      if (p % 8 == 0) block_ids[i].push_back(block++);
      slots.push_back(block_ids[i].back() * 8 + p % 8);
    }
    ASSERT_TRUE(OnDevice(KvCacheAppend,
                         {s.k.view(), s.v.view(), ViewOf(slots),
                          cache.keys.view(), cache.values.view()},
                         stream_)
                    .ok());
    std::copy_n(s.q.ptr<float>(), s.q.view().num_elements(),
                q.ptr<float>() + row * 48);
    batch.Add(lengths[i], 0, block_ids[i]);
    row += lengths[i];
  }
  ASSERT_TRUE(OnDevice(PagedAttention,
                       batch.Args(q.view(), cache, 0.25f, out.view()), stream_)
                  .ok());
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(SameBits(out.ptr<float>() + batch.offsets[i] * 48,
                         alone[i].ptr<float>(), lengths[i] * 48))
        << "sequence " << i;
  }
}

// A later token's infinity must not reach the rows before it in its tile.
TEST_P(PagedAttentionTest, WhatARowDoesNotSeeIsNotRead) {
  const Shape shape{1, 1, 16};
  Sequence s(shape, 6, 5);
  const Tensor clean = Run(s, shape, 6, 4, 0, 1, stream_);
  s.v.ptr<float>()[4 * 16] = std::numeric_limits<float>::infinity();
  s.k.ptr<float>()[4 * 16] = std::numeric_limits<float>::quiet_NaN();
  const Tensor out = Run(s, shape, 6, 4, 0, 1, stream_);
  EXPECT_TRUE(SameBits(clean.ptr<float>(), out.ptr<float>(), 4 * 16));
  EXPECT_TRUE(std::isnan(out.ptr<float>()[4 * 16]));
}

TEST_P(PagedAttentionTest, RefusesWhatDoesNotFit) {
  const Shape shape{2, 2, 16};
  Cache cache(shape, 4, 8);
  Tensor q = MakeTensor({9, 2, 16}), out = MakeTensor({9, 2, 16});
  const auto run = [&](std::vector<int32_t> blocks, int32_t start) {
    Sequences sequences(blocks.size());
    sequences.Add(9, start, blocks);
    return OnDevice(PagedAttention,
                    sequences.Args(q.view(), cache, 1.0f, out.view()), stream_);
  };
  EXPECT_EQ(run({1}, 0).message(),
            "PagedAttention: sequence 0 of 9 tokens has 1 blocks of 8, needs "
            "2");
  EXPECT_EQ(run({1, 4}, 0).message(),
            "PagedAttention: block 4 of sequence 0 is outside [0, 4)");
  EXPECT_EQ(run({1, 2}, -1).code(), absl::StatusCode::kInvalidArgument);
  Cache odd(shape, 4, 6);
  Sequences none(1);
  EXPECT_EQ(OnDevice(PagedAttention, none.Args(q.view(), odd, 1.0f, out.view()),
                     stream_)
                .message(),
            "PagedAttention: block size is 6, must be a power of two of at "
            "least 4");
}

INSTANTIATE_ON_ALL_VARIANTS(PagedAttentionTest);

}  // namespace
}  // namespace moe

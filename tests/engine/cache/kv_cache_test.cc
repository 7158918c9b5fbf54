#include "engine/cache/kv_cache.h"

#include <sys/resource.h>

#include <cstdint>

#include "absl/status/status.h"
#include "engine/config/uniform_model_config.h"
#include "gtest/gtest.h"
#include "kernels/core/cpu_backend.h"

namespace moe {
namespace {

ModelConfig SmallConfig() {
  UniformModelConfig config;
  config.num_layers = 3;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 8;
  return config;
}

TEST(KvCacheTest, EachLayerHasItsBlocks) {
  absl::StatusOr<KvCache> cache = KvCache::Create(HostBackend(), SmallConfig(), 5, 16);
  ASSERT_TRUE(cache.ok()) << cache.status();
  EXPECT_EQ(cache->num_blocks(), 5);
  EXPECT_EQ(cache->block_size(), 16);
  for (int64_t layer = 0; layer < 3; ++layer) {
    const TensorView& keys = cache->keys(layer);
    const TensorView& values = cache->values(layer);
    ASSERT_EQ(keys.rank, 4);
    ASSERT_EQ(values.rank, 4);
    EXPECT_EQ(keys.dims, (std::array<int64_t, 4>{5, 2, 8, 16}));
    EXPECT_EQ(values.dims, (std::array<int64_t, 4>{5, 2, 16, 8}));
    for (const TensorView& view : {keys, values}) {
      EXPECT_EQ(view.dtype, DType::kF32);
      EXPECT_TRUE(view.is_contiguous());
    }
    EXPECT_NE(cache->keys(layer).data, cache->values(layer).data);
  }
  EXPECT_EQ(KvCache::BlockBytes(SmallConfig(), 16), 2 * 3 * 2 * 8 * 16 * 4);
}

TEST(KvCacheTest, RefusesNoBlocks) {
  EXPECT_EQ(KvCache::Create(HostBackend(), SmallConfig(), 0, 16).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(KvCache::Create(HostBackend(), SmallConfig(), 4, 0).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// A cache of 8 GiB, which would take seconds to be written once.
TEST(KvCacheTest, ALargeOneTakesNoMemoryBeforeItIsUsed) {
  rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  const int64_t block_bytes = KvCache::BlockBytes(SmallConfig(), 16);
  const auto cache =
      KvCache::Create(HostBackend(), SmallConfig(), (int64_t{8} << 30) / block_bytes, 16);
  if (cache.status().code() == absl::StatusCode::kResourceExhausted) {
    GTEST_SKIP() << "no address space: " << cache.status();
  }
  ASSERT_TRUE(cache.ok()) << cache.status();
  getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 64 << 10);  // KiB
}

TEST(KvCacheTest, TooMuchMemoryIsResourceExhausted) {
  const absl::Status status =
      KvCache::Create(HostBackend(), SmallConfig(), int64_t{1} << 60, 16).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
}

}  // namespace
}  // namespace moe

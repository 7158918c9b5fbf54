#include "kernels/ops/kv_layout.h"

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "kernels/ops/kv_cache_append.h"
#include "tests/kernels/ops/op_test.h"

namespace moe {
namespace {

class KvLayoutTest : public VariantTest {};

INSTANTIATE_ON_ALL_VARIANTS(KvLayoutTest);

TEST_P(KvLayoutTest, IsThatOfTheDevicesOps) {
  constexpr KvShape kShape = {
      .num_blocks = 3, .block_size = 8, .kv_heads = 2, .head_dim = 5};
  const auto layout = KvLayoutOf(stream_.device(), kShape);
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->key_dims[0], 3);
  EXPECT_EQ(layout->value_dims[0], 3);
  DeviceBackend& backend = stream_.backend();
  const auto on_device = [&](DType dtype, absl::Span<const int64_t> dims) {
    return *Tensor::Allocate(backend, dtype, dims);
  };
  const Tensor keys = on_device(layout->dtype, layout->key_dims);
  const Tensor values = on_device(layout->dtype, layout->value_dims);
  EXPECT_EQ(3 * layout->block_bytes(),
            static_cast<int64_t>(keys.num_bytes() + values.num_bytes()));
  const Tensor k = on_device(DType::kF32, {4, 2, 5});
  const Tensor v = on_device(DType::kF32, {4, 2, 5});
  const Tensor slots = on_device(DType::kI64, {4});
  EXPECT_TRUE(KvCacheAppend({k.view(), v.view(), slots.view(), keys.view(),
                             values.view()},
                            stream_)
                  .ok());
  EXPECT_TRUE(stream_.Synchronize().ok());
}

TEST(KvLayoutErrorsTest, ADeviceWithoutABackEndHasNone) {
  EXPECT_EQ(KvLayoutOf({DeviceType::kCuda, 0}, {}).status().code(),
            absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace moe

#include <cstdint>
#include <vector>

#include "kernels/ops/gather_rows.h"
#include "kernels/ops/scatter_rows.h"
#include "tests/kernels/ops/on_device.h"
#include "tests/kernels/ops/op_test.h"

namespace moe {
namespace {

class MoveRowsTest : public VariantTest {};

TEST_P(MoveRowsTest, GathersAndScattersRows) {
  constexpr int64_t kWidth = 7;
  const Tensor x = RandomTensor({5, kWidth}, 1);
  const std::vector<int32_t> index = {4, 0, 3};
  const Tensor gathered = MakeTensor({3, kWidth});
  ASSERT_TRUE(
      OnDevice(GatherRows, {x.view(), ViewOf(index), gathered.view()}, stream_)
          .ok());
  const Tensor scattered = RandomTensor({5, kWidth}, 2);
  const Tensor before = RandomTensor({5, kWidth}, 2);
  ASSERT_TRUE(OnDevice(ScatterRows,
                       {gathered.view(), ViewOf(index), scattered.view()},
                       stream_)
                  .ok());
  for (size_t i = 0; i < index.size(); ++i) {
    const float* const row = x.ptr<float>() + index[i] * kWidth;
    EXPECT_TRUE(SameBits(gathered.ptr<float>() + i * kWidth, row, kWidth));
    EXPECT_TRUE(
        SameBits(scattered.ptr<float>() + index[i] * kWidth, row, kWidth));
  }
  for (int64_t r : {1, 2}) {
    EXPECT_TRUE(SameBits(scattered.ptr<float>() + r * kWidth,
                         before.ptr<float>() + r * kWidth, kWidth));
  }
}

TEST_P(MoveRowsTest, NamesTheIndexThatIsOutOfRange) {
  const Tensor x = MakeTensor({2, 3}), y = MakeTensor({2, 3});
  const std::vector<int32_t> index = {1, 2};
  EXPECT_EQ(OnDevice(GatherRows, {x.view(), ViewOf(index), y.view()}, stream_)
                .message(),
            "GatherRows: index 2 of row 1 is outside [0, 2)");
  EXPECT_EQ(OnDevice(ScatterRows, {x.view(), ViewOf(index), y.view()}, stream_)
                .message(),
            "ScatterRows: index 2 of row 1 is outside [0, 2)");
}

INSTANTIATE_ON_ALL_VARIANTS(MoveRowsTest);

}  // namespace
}  // namespace moe

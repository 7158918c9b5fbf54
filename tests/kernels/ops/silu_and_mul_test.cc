#include "kernels/ops/silu_and_mul.h"

#include <cmath>

#include "tests/kernels/ops/on_device.h"
#include "tests/kernels/ops/op_test.h"

namespace moe {
namespace {

class SiluAndMulTest : public VariantTest {};

TEST_P(SiluAndMulTest, EqualsTheDoubleReferenceUpToTheExtremes) {
  for (int64_t n : {1, 19, 64}) {
    Tensor x = RandomTensor({6, 2 * n}, 3, 20.0f);
    for (int64_t r = 0; r < 4; ++r) {
      const float extremes[] = {0.0f, -1000.0f, 1000.0f, -88.5f};
      x.ptr<float>()[r * 2 * n] = extremes[r];
    }
    Tensor y = MakeTensor({6, n});
    ASSERT_TRUE(OnDevice(SiluAndMul, {x.view(), y.view()}, stream_).ok());
    for (int64_t r = 0; r < 6; ++r) {
      for (int64_t i = 0; i < n; ++i) {
        const double z = x.ptr<float>()[r * 2 * n + i];
        const double want =
            z / (1 + std::exp(-z)) * x.ptr<float>()[r * 2 * n + n + i];
        EXPECT_NEAR(y.ptr<float>()[r * n + i], want,
                    1e-6 + 1e-6 * std::abs(want))
            << z;
      }
    }
  }
}

TEST_P(SiluAndMulTest, NamesTheShapesThatDoNotFit) {
  Tensor x = MakeTensor({6, 9}), y = MakeTensor({6, 4});
  EXPECT_EQ(OnDevice(SiluAndMul, {x.view(), y.view()}, stream_).message(),
            "SiluAndMul: x is f32 [6, 9], must be f32 [6, 8]");
}

INSTANTIATE_ON_ALL_VARIANTS(SiluAndMulTest);

}  // namespace
}  // namespace moe

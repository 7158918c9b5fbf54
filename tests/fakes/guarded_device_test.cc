#include "tests/fakes/guarded_device.h"

#include <memory>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/gather_rows.h"

namespace moe {
namespace {

class GuardedDeviceTest : public testing::Test {
 protected:
  Tensor OnDevice(DType dtype, absl::Span<const int64_t> dims) {
    return *Tensor::Allocate(backend_, dtype, dims);
  }
  Tensor Pinned(DType dtype, absl::Span<const int64_t> dims) {
    return *Tensor::AllocatePinned(backend_, dtype, dims);
  }

  ThreadPool threads_{2};
  GuardedBackend backend_;
  GuardedStream stream_{threads_, backend_};
};

using GuardedDeviceDeathTest = GuardedDeviceTest;

TEST_F(GuardedDeviceTest, RunsOpsAndCopiesInOrderWhenWaitedFor) {
  const Tensor x = OnDevice(DType::kF32, {3, 2}),
               y = OnDevice(DType::kF32, {2, 2});
  const Tensor index = OnDevice(DType::kI32, {2});
  const Tensor host_x = Pinned(DType::kF32, {3, 2});
  const Tensor host_y = Pinned(DType::kF32, {2, 2});
  const Tensor host_index = Pinned(DType::kI32, {2});
  for (int i = 0; i < 6; ++i) host_x.ptr<float>()[i] = static_cast<float>(i);
  host_index.ptr<int32_t>()[0] = 2;
  ASSERT_TRUE(stream_.Copy(host_x.view(), x.view()).ok());
  ASSERT_TRUE(stream_.Copy(host_index.view(), index.view()).ok());
  ASSERT_TRUE(GatherRows({x.view(), index.view(), y.view()}, stream_).ok());
  ASSERT_TRUE(stream_.Copy(y.view(), host_y.view()).ok());
  auto event = stream_.Record();
  ASSERT_TRUE(event.ok());
  // Without a wait the value is not there.
  EXPECT_EQ(host_y.ptr<float>()[1], 0.0f);
  ASSERT_TRUE((*event)->Wait().ok());
  EXPECT_EQ(host_y.ptr<float>()[0], 4.0f);
  EXPECT_EQ(host_y.ptr<float>()[1], 5.0f);
  EXPECT_EQ(host_y.ptr<float>()[3], 1.0f);
}

TEST_F(GuardedDeviceTest, ACopyReadsItsBufferWhenItRuns) {
  const Tensor x = OnDevice(DType::kF32, {1});
  const Tensor from = Pinned(DType::kF32, {1}), to = Pinned(DType::kF32, {1});
  from.ptr<float>()[0] = 1.0f;
  ASSERT_TRUE(stream_.Copy(from.view(), x.view()).ok());
  from.ptr<float>()[0] = 2.0f;  // without a wait
  ASSERT_TRUE(stream_.Copy(x.view(), to.view()).ok());
  ASSERT_TRUE(stream_.Synchronize().ok());
  EXPECT_EQ(to.ptr<float>()[0], 2.0f);
}

TEST_F(GuardedDeviceTest, AnErrorOfAnOpComesWithTheWait) {
  const Tensor x = OnDevice(DType::kF32, {1, 1}),
               y = OnDevice(DType::kF32, {1, 1});
  const Tensor index = OnDevice(DType::kI32, {1});
  const Tensor host_index = Pinned(DType::kI32, {1});
  host_index.ptr<int32_t>()[0] = 7;
  ASSERT_TRUE(stream_.Copy(host_index.view(), index.view()).ok());
  EXPECT_TRUE(GatherRows({x.view(), index.view(), y.view()}, stream_).ok());
  EXPECT_EQ(stream_.Synchronize().message(),
            "GatherRows: index 7 of row 0 is outside [0, 1)");
  EXPECT_TRUE(stream_.Synchronize().ok());
}

TEST_F(GuardedDeviceTest, OpsRefuseTensorsOfTheHost) {
  const Tensor x = Pinned(DType::kF32, {1, 1}),
               y = OnDevice(DType::kF32, {1, 1});
  const Tensor index = OnDevice(DType::kI32, {1});
  EXPECT_EQ(GatherRows({x.view(), index.view(), y.view()}, stream_).message(),
            "GatherRows: x f32 [1, 1] lies on cpu:0, the stream is on cpu:1");
}

TEST_F(GuardedDeviceDeathTest, AHostReadCrashes) {
  const Tensor x = OnDevice(DType::kF32, {4});
  EXPECT_DEATH(
      {
        volatile float value = x.ptr<float>()[3];
        (void)value;
      },
      "");
}

TEST_F(GuardedDeviceDeathTest, AHostReadCrashesAfterAWaitToo) {
  const Tensor x = OnDevice(DType::kF32, {4}), host = Pinned(DType::kF32, {4});
  ASSERT_TRUE(stream_.Copy(host.view(), x.view()).ok());
  ASSERT_TRUE(stream_.Synchronize().ok());
  EXPECT_DEATH(
      {
        volatile float value = x.ptr<float>()[0];
        (void)value;
      },
      "");
}

}  // namespace
}  // namespace moe

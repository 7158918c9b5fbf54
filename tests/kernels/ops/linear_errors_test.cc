// What GroupedLinear and PackWeight refuse, and how they say so.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "kernels/core/cpu_backend.h"
#include "kernels/core/cpu_features.h"
#include "kernels/core/cpu_stream.h"
#include "kernels/ops/linear.h"
#include "tests/kernels/ops/on_device.h"

namespace moe {
namespace {

TensorView Matrix(std::vector<float>& values, int64_t rows, int64_t columns) {
  return MakeView(values.data(), DType::kF32, {rows, columns});
}

class LinearErrorTest : public testing::Test {
 protected:
  LinearErrorTest() {
    auto weight = PackWeight(Matrix(w_, 3, 2), DType::kBf16, stream_);
    EXPECT_TRUE(weight.ok()) << weight.status().ToString();
    weight_ = *std::move(weight);
    group_.weight = &weight_;
    group_.x = Matrix(x_, 4, 2);
    group_.y = Matrix(y_, 4, 3);
  }

  void ExpectInvalid(const std::string& part) {
    const absl::Status status = Linear(group_, stream_);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(absl::StrContains(std::string(status.message()), part))
        << status.ToString();
  }

  ThreadPool threads_{1};
  CpuStream stream_{threads_};
  std::vector<float> w_ = std::vector<float>(6, 1), x_ = std::vector<float>(8);
  std::vector<float> y_ = std::vector<float>(12);
  WeightMatrix weight_;
  LinearGroup group_;
};

TEST_F(LinearErrorTest, ShapesThatDoNotFitAreNamed) {
  ASSERT_TRUE(Linear(group_, stream_).ok());
  group_.x = Matrix(x_, 2, 4);
  ExpectInvalid("x is f32 [2, 4], must be f32 [rows, in]");
  group_.x = Matrix(x_, 3, 2);
  ExpectInvalid("y has 4 rows, x only 3");
  group_.x = Matrix(x_, 4, 2);
  group_.y = Matrix(y_, 4, 2);
  ExpectInvalid("y is f32 [4, 2], must be f32 [rows, out]");
  group_.y = Matrix(y_, 4, 3);
  group_.bias = MakeView(x_.data(), DType::kF32, {2});
  ExpectInvalid("bias is f32 [2]");
  group_.bias = TensorView();
  group_.residual = Matrix(y_, 3, 3);
  ExpectInvalid("residual is f32 [3, 3], y is f32 [4, 3]");
  group_.residual = TensorView();
  group_.weight = nullptr;
  ExpectInvalid("there is no weight");
}

TEST_F(LinearErrorTest, RowsOutsideXAreNamed) {
  std::vector<int32_t> rows = {0, 3, 4, 1};
  group_.x_rows = ViewOf(rows);
  ExpectInvalid("x_rows[2] is 4");
  rows[2] = -1;
  ExpectInvalid("x_rows[2] is -1");
  rows[2] = 2;
  EXPECT_TRUE(Linear(group_, stream_).ok());
}

TEST_F(LinearErrorTest, TensorsOfAnotherTypeOrDeviceAreNamed) {
  group_.x.dtype = DType::kBf16;
  ExpectInvalid("x is bf16 [4, 2]");
  group_.x.dtype = DType::kF32;
  group_.x.device = Device{DeviceType::kCuda, 1};
  ExpectInvalid("lies on cuda:1");
}

TEST_F(LinearErrorTest, NoGroupsAndGroupsWithoutRowsAreFine) {
  EXPECT_TRUE(LinearOnDevice({}, stream_).ok());
  group_.y = Matrix(y_, 0, 3);
  group_.weight = nullptr;
  EXPECT_TRUE(Linear(group_, stream_).ok());
}

TEST_F(LinearErrorTest, AWeightPackedForOtherVectorsIsRefused) {
  for (const std::string& isa : SupportedIsas()) {
    ASSERT_TRUE(SetIsa(isa).ok());
    const absl::Status status = Linear(group_, stream_);
    auto own = PackWeight(Matrix(w_, 3, 2), DType::kBf16, stream_);
    ASSERT_TRUE(own.ok());
    if (own->panel_columns() == weight_.panel_columns()) {
      EXPECT_TRUE(status.ok());
    } else {
      EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_TRUE(absl::StrContains(std::string(status.message()), isa))
          << status.ToString();
    }
  }
  ASSERT_TRUE(SetIsa("auto").ok());
}

TEST_F(LinearErrorTest, OtherDevicesAreUnimplemented) {
  class CudaStream : public Stream {
    Device device() const override { return {DeviceType::kCuda, 0}; }
    DeviceBackend& backend() override { return HostBackend(); }
    absl::Status Copy(const TensorView&, const TensorView&) override {
      return absl::OkStatus();
    }
    absl::StatusOr<std::unique_ptr<Event>> Record() override {
      return absl::UnimplementedError("");
    }
    absl::Status Synchronize() override { return absl::OkStatus(); }
  } cuda;
  group_.y = Matrix(y_, 0, 3);
  const absl::Status status = Linear(group_, cuda);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_TRUE(absl::StrContains(std::string(status.message()), "cuda:0"));
  EXPECT_EQ(PackWeight(Matrix(w_, 3, 2), DType::kBf16, cuda).status().code(),
            absl::StatusCode::kUnimplemented);
}

TEST_F(LinearErrorTest, PackWeightRefusesOtherShapesAndTypes) {
  EXPECT_EQ(PackWeight(TensorView(), DType::kBf16, stream_).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(
      PackWeight(MakeView(w_.data(), DType::kF32, {6}), DType::kBf16, stream_)
          .status()
          .code(),
      absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(PackWeight(Matrix(w_, 0, 2), DType::kBf16, stream_).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(PackWeight(Matrix(w_, 3, 2), DType::kI8, stream_).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(PackWeight(MakeView(w_.data(), DType::kI32, {3, 2}), DType::kBf16,
                       stream_)
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace moe

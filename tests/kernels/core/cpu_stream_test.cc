#include "kernels/core/cpu_stream.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "kernels/core/cpu_backend.h"
#include "kernels/core/thread_pool.h"

namespace moe {
namespace {

// Runs nothing before it is told to.
class LaterStream : public CpuStream {
 public:
  explicit LaterStream(ThreadPool& threads)
      : CpuStream(threads, HostBackend(), /*runs_inline=*/false) {}

  absl::Status RunAll() {
    for (Work& work : std::exchange(queue_, {})) {
      if (absl::Status status = work(); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Defer(Work work) override {
    queue_.push_back(std::move(work));
    return absl::OkStatus();
  }

  std::vector<Work> queue_;
};

struct AddArgs {
  int term = 0;
  int* sum = nullptr;
};

absl::Status Add(const AddArgs& args, CpuStream&) {
  *args.sum += args.term;
  return absl::OkStatus();
}

TEST(CpuStreamTest, RunsWorkInline) {
  ThreadPool threads(1);
  CpuStream stream(threads);
  int sum = 0;
  ASSERT_TRUE(stream.Run(AddArgs{3, &sum}, Add).ok());
  EXPECT_EQ(sum, 3);
  EXPECT_EQ(stream
                .Run(AddArgs{},
                     [](const AddArgs&, CpuStream&) {
                       return absl::InternalError("failed");
                     })
                .message(),
            "failed");
}

TEST(CpuStreamTest, WorkThatRunsLaterHasTheArgumentsOfTheCall) {
  ThreadPool threads(1);
  LaterStream stream(threads);
  int sum = 0;
  AddArgs args = {3, &sum};
  std::vector<AddArgs> many = {{10, &sum}, {20, &sum}};
  ASSERT_TRUE(stream.Run(args, Add).ok());
  ASSERT_TRUE(stream
                  .Run(absl::MakeConstSpan(many),
                       [](absl::Span<const AddArgs> all, CpuStream& cpu) {
                         for (const AddArgs& one : all) (void)Add(one, cpu);
                         return absl::OkStatus();
                       })
                  .ok());
  args.term = 100;
  many[0].term = 100;
  many.clear();
  EXPECT_EQ(sum, 0);
  ASSERT_TRUE(stream.RunAll().ok());
  EXPECT_EQ(sum, 33);
}

TEST(CpuStreamTest, CopiesAreDoneWhenTheyReturn) {
  ThreadPool threads(1);
  CpuStream stream(threads);
  const std::vector<int32_t> from = {1, 2, 3, 4, 5, 6};
  const Tensor to = *Tensor::Allocate(stream.backend(), DType::kI32, {2, 3});
  const TensorView source =
      MakeView(const_cast<int32_t*>(from.data()), DType::kI32, {6});
  ASSERT_TRUE(stream.Copy(source, to.view()).ok());
  EXPECT_EQ(std::vector<int32_t>(to.ptr<int32_t>(), to.ptr<int32_t>() + 6),
            from);
  const auto event = stream.Record();
  ASSERT_TRUE(event.ok());
  EXPECT_TRUE((*event)->Wait().ok());
  EXPECT_TRUE(stream.Synchronize().ok());
}

TEST(CpuStreamTest, RefusesCopiesThatDoNotFit) {
  ThreadPool threads(1);
  CpuStream stream(threads);
  const Tensor x = *Tensor::Allocate(DType::kF32, {2, 3});
  const Tensor y = *Tensor::Allocate(DType::kF32, {2, 4});
  EXPECT_EQ(stream.Copy(x.view(), y.view()).message(),
            "Copy: from f32 [2, 3] to f32 [2, 4]; both must be contiguous and "
            "have as many bytes");
  TensorView part = y.view();
  part.dims[1] = 3;
  EXPECT_EQ(stream.Copy(x.view(), part).code(),
            absl::StatusCode::kInvalidArgument);
  TensorView elsewhere = x.view();
  elsewhere.device = {DeviceType::kCuda, 2};
  EXPECT_EQ(stream.Copy(elsewhere, x.view()).message(),
            "Copy: a tensor f32 [2, 3] lies on cuda:2, the stream is on cpu:0");
}

}  // namespace
}  // namespace moe

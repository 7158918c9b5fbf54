#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/stream.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// A stream whose ops are host code. This one runs everything inline, on the
// caller's thread and the pool's: an op is done when it returns. A class
// derived from it may run its ops later (Defer).
class CpuStream : public Stream {
 public:
  // The pool is borrowed and must outlive the stream. On HostBackend().
  explicit CpuStream(ThreadPool& threads);

  Device device() const override { return backend_.device(); }
  DeviceBackend& backend() override { return backend_; }
  absl::Status Copy(const TensorView& from, const TensorView& to) override;
  absl::StatusOr<std::unique_ptr<Event>> Record() override;
  absl::Status Synchronize() override { return absl::OkStatus(); }

  ThreadPool& threads() { return threads_; }

  // Runs arm(args, *this), now or later. `args` is copied if it runs later: a
  // value of tensor views, scalars and pointers to what outlives the op; of a
  // span, its elements are copied.
  template <typename Args, typename Arm>
  absl::Status Run(const Args& args, Arm arm) {
    if (runs_inline_) return arm(args, *this);
    return Defer([this, owned = Own(args), arm] { return arm(owned, *this); });
  }

 protected:
  using Work = absl::AnyInvocable<absl::Status()>;

  CpuStream(ThreadPool& threads, DeviceBackend& backend, bool runs_inline)
      : threads_(threads), backend_(backend), runs_inline_(runs_inline) {}

  // kInvalidArgument unless Copy's conditions hold.
  absl::Status CheckCopy(const TensorView& from, const TensorView& to) const;

 private:
  template <typename Args>
  static Args Own(const Args& args) {
    return args;
  }
  template <typename T>
  static std::vector<T> Own(absl::Span<const T> args) {
    return {args.begin(), args.end()};
  }

  // Of a stream that does not run inline.
  virtual absl::Status Defer(Work work);

  ThreadPool& threads_;
  DeviceBackend& backend_;
  const bool runs_inline_;
};

}  // namespace moe

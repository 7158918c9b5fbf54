#include "kernels/core/cpu_stream.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/core/cpu_backend.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// Of a stream that is always done.
class DoneEvent : public Event {
 public:
  absl::Status Wait() override { return absl::OkStatus(); }
};

size_t NumBytes(const TensorView& view) {
  return static_cast<size_t>(view.num_elements()) * SizeOf(view.dtype);
}

}  // namespace

CpuStream::CpuStream(ThreadPool& threads)
    : CpuStream(threads, HostBackend(), /*runs_inline=*/true) {}

absl::Status CpuStream::CheckCopy(const TensorView& from,
                                  const TensorView& to) const {
  for (const TensorView* view : {&from, &to}) {
    // Pinned memory is the host's.
    if (!(view->device == device()) && !(view->device == Device{})) {
      return absl::InvalidArgumentError(absl::StrCat(
          "Copy: a tensor ", view->ShapeString(), " lies on ",
          ToString(view->device), ", the stream is on ", ToString(device())));
    }
  }
  if (!from.is_contiguous() || !to.is_contiguous() ||
      NumBytes(from) != NumBytes(to)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "Copy: from ", from.ShapeString(), " to ", to.ShapeString(),
        "; both must be contiguous and have as "
        "many bytes"));
  }
  return absl::OkStatus();
}

absl::Status CpuStream::Copy(const TensorView& from, const TensorView& to) {
  RETURN_IF_ERROR(CheckCopy(from, to));
  if (from.data != to.data && NumBytes(to) > 0) {
    std::memcpy(to.data, from.data, NumBytes(to));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Event>> CpuStream::Record() {
  return std::make_unique<DoneEvent>();
}

absl::Status CpuStream::Defer(Work) {
  return absl::InternalError("a stream that runs inline defers nothing");
}

}  // namespace moe

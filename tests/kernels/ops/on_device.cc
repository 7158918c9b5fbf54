#include "tests/kernels/ops/on_device.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "gtest/gtest.h"

namespace moe {
namespace {

// Past the last element that the view may reach.
std::byte* End(const TensorView& view) {
  int64_t elements = view.num_elements() == 0 ? 0 : 1;
  for (int i = 0; elements > 0 && i < view.rank; ++i) {
    elements += (view.dims[i] - 1) * view.strides[i];
  }
  return view.ptr<std::byte>() + elements * SizeOf(view.dtype);
}

}  // namespace

DeviceCopies::DeviceCopies(std::vector<TensorView*> views, Stream& stream)
    : stream_(stream) {
  if (stream.device() == Device{}) return;
  std::erase_if(views, [](TensorView* view) { return view->empty(); });
  std::sort(views.begin(), views.end(), [](TensorView* a, TensorView* b) {
    return a->ptr<std::byte>() < b->ptr<std::byte>();
  });
  for (size_t i = 0; i < views.size();) {
    std::byte* const begin = views[i]->ptr<std::byte>();
    std::byte* end = End(*views[i]);
    size_t next = i + 1;
    while (next < views.size() && views[next]->ptr<std::byte>() < end) {
      end = std::max(end, End(*views[next++]));
    }
    Range range;
    range.host = MakeView(begin, DType::kU8, {end - begin});
    range.device =
        *Tensor::Allocate(stream.backend(), DType::kU8, {end - begin});
    EXPECT_TRUE(stream.Copy(range.host, range.device.view()).ok());
    for (; i < next; ++i) {
      views[i]->data =
          range.device.ptr<std::byte>() + (views[i]->ptr<std::byte>() - begin);
      views[i]->device = stream.device();
    }
    ranges_.push_back(std::move(range));
  }
}

absl::Status DeviceCopies::Return() {
  absl::Status status = stream_.Synchronize();
  for (const Range& range : ranges_) {
    EXPECT_TRUE(stream_.Copy(range.device.view(), range.host).ok());
  }
  status.Update(stream_.Synchronize());
  return status;
}

}  // namespace moe

#include "engine/loading/make_stream.h"
#include "kernels/core/cpu_stream.h"

#include "kernels/core/cpu_stream.h"

namespace moe {

absl::StatusOr<std::unique_ptr<Stream>> MakeCpuStream(ThreadPool& threads) {
  return std::make_unique<CpuStream>(threads);
}

}  // namespace moe

#include "engine/loading/compute_device.h"

#include "kernels/core/cpu_backend.h"
#include "kernels/core/cpu_stream.h"

namespace moe {

ComputeDevice CpuDevice() {
  return {&HostBackend(), [](ThreadPool& threads) {
            return std::make_unique<CpuStream>(threads);
          }};
}

}  // namespace moe

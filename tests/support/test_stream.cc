#include "kernels/core/cpu_stream.h"
#include "tests/support/test_stream.h"

namespace moe {

StreamFactory TestStream() { return MakeCpuStream; }

}  // namespace moe

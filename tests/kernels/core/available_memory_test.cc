#include "kernels/core/available_memory.h"

#include <unistd.h>

#include "gtest/gtest.h"

namespace moe {
namespace {

TEST(MemoryBudgetTest, IsSomeOfTheMachinesMemory) {
  const absl::StatusOr<int64_t> available = AvailableHostMemory();
  ASSERT_TRUE(available.ok()) << available.status();
  EXPECT_GT(*available, 0);
  EXPECT_LE(*available, sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
}

}  // namespace
}  // namespace moe

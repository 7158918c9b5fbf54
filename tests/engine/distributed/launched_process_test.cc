#include "engine/distributed/launched_process.h"

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

using Environment = std::vector<std::pair<const char*, const char*>>;

absl::StatusOr<bool> LaunchedIn(const Environment& environment) {
  for (const char* variable :
       {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE",
        "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}) {
    unsetenv(variable);
  }
  for (const auto& [variable, value] : environment) setenv(variable, value, 1);
  return LaunchedByMpi();
}

TEST(LaunchedProcessTest, AProcessAloneStaysOffMpi) {
  for (const Environment& environment : std::vector<Environment>{
           {},
           {{"OMPI_COMM_WORLD_SIZE", "1"}, {"PMIX_RANK", "0"}},
           {{"PMI_RANK", "0"}, {"PMI_SIZE", "1"}},
           {{"PMIX_RANK", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}},
           // A shell of a job of several tasks, which srun has not started.
           {{"SLURM_NTASKS", "8"}}}) {
    const absl::StatusOr<bool> launched = LaunchedIn(environment);
    ASSERT_TRUE(launched.ok()) << launched.status();
    EXPECT_FALSE(*launched);
  }
}

TEST(LaunchedProcessTest, OneOfSeveralJoinsThem) {
  for (const Environment& environment : std::vector<Environment>{
           {{"OMPI_COMM_WORLD_SIZE", "2"}, {"PMIX_RANK", "0"}},
           {{"PMIX_RANK", "0"}, {"SLURM_STEP_NUM_TASKS", "2"}},
           {{"PMIX_RANK", "1"}}}) {
    const absl::StatusOr<bool> launched = LaunchedIn(environment);
    ASSERT_TRUE(launched.ok()) << launched.status();
    EXPECT_TRUE(*launched);
  }
}

TEST(LaunchedProcessTest, ALauncherThatOpenMpiCannotJoinIsNamed) {
  const absl::Status status =
      LaunchedIn({{"PMI_RANK", "3"}, {"PMI_SIZE", "4"}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              testing::StartsWith("PMI_RANK=3 and PMI_SIZE=4 say"));
}

}  // namespace
}  // namespace moe

#include "comm/mpi/mpi_launcher.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

using testing::HasSubstr;

// A process file system, of which this process's parent is real.
class MpiLauncherTest : public testing::Test {
 protected:
  MpiLauncherTest() { std::filesystem::remove_all(proc_); }

  void Plant(pid_t pid, const std::string& name, pid_t parent,
             const std::string& state = "S", int started = 500) {
    const std::string folder = absl::StrCat(proc_, "/", pid);
    std::filesystem::create_directories(folder);
    std::string text = absl::StrCat(pid, " (", name, ") ", state, " ", parent);
    for (int i = 3; i <= 19; ++i) absl::StrAppend(&text, " ", i);
    std::ofstream(folder + "/stat") << text << " " << started << " 0 0\n";
  }

  const std::string proc_ = testing::TempDir() + "/mpi_launcher_proc";
  const pid_t parent_ = getppid();
};

TEST_F(MpiLauncherTest, IsTheParentIfThatIsOne) {
  Plant(parent_, "orted", 1);
  const MpiLauncher launcher(proc_);
  EXPECT_EQ(launcher.pid(), parent_);
  EXPECT_EQ(launcher.name(), "orted");
  EXPECT_TRUE(launcher.Check().ok());
}

TEST_F(MpiLauncherTest, IsFoundAboveScripts) {
  Plant(parent_, "run (a) b.sh", 1000002);
  Plant(1000002, "bash", 1000003);
  Plant(1000003, "mpirun", 1000004);
  Plant(1000004, "mpirun", 1);
  const MpiLauncher launcher(proc_);
  EXPECT_EQ(launcher.pid(), 1000003);
  EXPECT_TRUE(launcher.Check().ok());
  // The end of a script in between is not its end.
  std::filesystem::remove_all(absl::StrCat(proc_, "/1000002"));
  EXPECT_TRUE(launcher.Check().ok());
  // Another process has its pid.
  Plant(1000003, "mpirun", 1000004, "S", 501);
  EXPECT_EQ(launcher.Check().message(),
            "mpirun (pid 1000003), which started it, has ended");
  Plant(1000003, "mpirun", 1000004);
  EXPECT_TRUE(launcher.Check().ok());
  Plant(1000003, "mpirun", 1000004, "Z");
  EXPECT_EQ(launcher.Check().code(), absl::StatusCode::kUnavailable);
  std::filesystem::remove_all(absl::StrCat(proc_, "/1000003"));
  EXPECT_EQ(launcher.Check().code(), absl::StatusCode::kUnavailable);
}

TEST_F(MpiLauncherTest, WithoutOneTheParentCounts) {
  Plant(parent_, "python3", 1000002);
  Plant(1000002, "systemd", 1);
  const MpiLauncher launcher(proc_);
  EXPECT_EQ(launcher.pid(), parent_);
  EXPECT_TRUE(launcher.Check().ok());
}

TEST_F(MpiLauncherTest, OneThatIsOutsideOfTheContainerIsAnError) {
  Plant(parent_, "bash", 1);
  Plant(1, "bash", 0);
  setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "1", 1);
  EXPECT_TRUE(MpiLauncher(proc_).CheckPidNamespace().ok());
  setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2", 1);
  EXPECT_THAT(std::string(MpiLauncher(proc_).CheckPidNamespace().message()),
              HasSubstr("mpirun is not among its ancestors"));
  Plant(1, "mpirun.openmpi", 0);
  EXPECT_TRUE(MpiLauncher(proc_).CheckPidNamespace().ok());
  unsetenv("OMPI_COMM_WORLD_LOCAL_SIZE");
}

TEST_F(MpiLauncherTest, WithoutAProcessFileSystemTheParentCounts) {
  const MpiLauncher launcher(proc_ + "/none");
  EXPECT_EQ(launcher.pid(), parent_);
  EXPECT_TRUE(launcher.Check().ok());
}

}  // namespace
}  // namespace moe

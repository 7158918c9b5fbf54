#include "kernels/core/control_groups.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace moe {
namespace {

// A root with the files that a kernel would show.
class ControlGroupsTest : public testing::Test {
 protected:
  ControlGroupsTest() { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  ControlGroupLimits Read() { return ReadControlGroupLimits(root_); }

  const std::string root_ = testing::TempDir() + "/control_groups";
};

TEST_F(ControlGroupsTest, WithoutGroupsNothingIsLimited) {
  const ControlGroupLimits limits = Read();
  EXPECT_TRUE(std::isinf(limits.cpus));
  EXPECT_EQ(limits.memory_left, ControlGroupLimits::kNone);
  EXPECT_EQ(limits.tasks_left, ControlGroupLimits::kNone);
  EXPECT_EQ(limits.cpus_file + limits.memory_file + limits.tasks_file, "");
}

TEST_F(ControlGroupsTest, TheSmallestOfVersion2Counts) {
  Write(
      "/proc/self/mountinfo",
      "22 1 8:1 / / rw - ext4 /dev/sda rw\n"
      "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n");
  Write("/proc/self/cgroup", "0::/pods/a/server\n");
  const std::string top = "/sys/fs/cgroup";
  Write(top + "/pods/cpu.max", "150000 100000\n");
  Write(top + "/pods/a/cpu.max", "max 100000\n");
  Write(top + "/pods/a/server/cpu.max", "200000 100000\n");
  Write(top + "/pods/memory.max", "max\n");
  Write(top + "/pods/memory.current", "7\n");
  Write(top + "/pods/a/memory.max", "1000\n");
  Write(top + "/pods/a/memory.current", "900\n");
  Write(top + "/pods/a/memory.stat", "anon 3\ninactive_file 50\nfile 60\n");
  Write(top + "/pods/a/server/memory.max", "600\n");
  Write(top + "/pods/a/server/memory.current", "400\n");
  Write(top + "/pods/a/server/pids.max", "20\n");
  Write(top + "/pods/a/server/pids.current", "18\n");
  Write(top + "/pods/a/pids.max", "max\n");
  const ControlGroupLimits limits = Read();
  EXPECT_EQ(limits.cpus, 1.5);
  EXPECT_EQ(limits.cpus_file, root_ + top + "/pods/cpu.max");
  EXPECT_EQ(limits.memory_left, 150);
  EXPECT_EQ(limits.memory_limit, 1000);
  EXPECT_EQ(limits.memory_file, root_ + top + "/pods/a/memory.max");
  EXPECT_EQ(limits.tasks_left, 2);
  EXPECT_EQ(limits.task_limit, 20);
  EXPECT_EQ(limits.tasks_file, root_ + top + "/pods/a/server/pids.max");
}

TEST_F(ControlGroupsTest, Version1HasAHierarchyForEachController) {
  Write("/proc/self/mountinfo",
        "40 30 0:30 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "41 30 0:31 / /cg/memory rw - cgroup cgroup rw,memory\n"
        "42 30 0:32 / /cg/pids rw - cgroup cgroup rw,pids\n"
        "43 30 0:33 / /cg/unified rw - cgroup2 cgroup2 rw\n");
  Write("/proc/self/cgroup",
        "5:pids:/x\n4:memory:/x/y\n3:cpu,cpuacct:/x\n0::/z\n");
  Write("/cg/cpu,cpuacct/x/cpu.cfs_quota_us", "50000\n");
  Write("/cg/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
  Write("/cg/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  Write("/cg/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  Write("/cg/memory/memory.limit_in_bytes", "9223372036854771712\n");
  Write("/cg/memory/memory.usage_in_bytes", "1\n");
  Write("/cg/memory/x/y/memory.limit_in_bytes", "5000\n");
  Write("/cg/memory/x/y/memory.usage_in_bytes", "4000\n");
  Write("/cg/memory/x/y/memory.stat",
        "inactive_file 1\ntotal_inactive_file 300\n");
  Write("/cg/pids/x/pids.max", "9\n");
  Write("/cg/pids/x/pids.current", "12\n");
  const ControlGroupLimits limits = Read();
  EXPECT_EQ(limits.cpus, 0.5);
  EXPECT_EQ(limits.memory_left, 1300);
  EXPECT_EQ(limits.memory_file, root_ + "/cg/memory/x/y/memory.limit_in_bytes");
  EXPECT_EQ(limits.tasks_left, 0);
}

// A container sees its own group mounted, whatever its path says.
TEST_F(ControlGroupsTest, AContainerSeesItsOwnGroup) {
  for (const char* group :
       {"/docker/abc", "/docker/abcde", "/", "/../../elsewhere"}) {
    Write("/proc/self/mountinfo",
          "41 30 0:31 /docker/abc /cg/memory ro - cgroup cgroup rw,memory\n");
    Write("/proc/self/cgroup", std::string("4:memory:") + group + "\n");
    Write("/cg/memory/memory.limit_in_bytes", "5000\n");
    Write("/cg/memory/memory.usage_in_bytes", "4000\n");
    EXPECT_EQ(Read().memory_left, 1000) << group;
  }
}

}  // namespace
}  // namespace moe

#pragma once

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace moe {

// While it lives, this thread may not read what its owner forbids (chmod 000),
// even if it is root's: it gives up the capabilities to do so. Useful for tests
// of files without permission.
class Unprivileged {
 public:
  Unprivileged() {
    if (syscall(SYS_capget, &header_, old_) != 0) return;
    __user_cap_data_struct reduced[2] = {old_[0], old_[1]};
    reduced[0].effective &= ~((uint32_t{1} << CAP_DAC_OVERRIDE) |
                              (uint32_t{1} << CAP_DAC_READ_SEARCH));
    active_ = syscall(SYS_capset, &header_, reduced) == 0;
  }
  ~Unprivileged() {
    if (active_) syscall(SYS_capset, &header_, old_);
  }
  Unprivileged(const Unprivileged&) = delete;
  Unprivileged& operator=(const Unprivileged&) = delete;

  // False if the system does not let go of them: skip the test.
  bool active() const { return active_; }

 private:
  __user_cap_header_struct header_ = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct old_[2] = {};
  bool active_ = false;
};

}  // namespace moe

#pragma once

#include <functional>

#include "comm/host_communicator.h"

namespace moe {

// Plays the ranks of a group: each calls `body` with its own communicator of a
// new group. Bodies use EXPECT, not ASSERT: a rank that leaves early makes its
// peers wait for it.
class RankRunner {
 public:
  virtual ~RankRunner() = default;

  using Body = std::function<void(HostCommunicator&)>;
  virtual void Run(const CommunicatorOptions& options, const Body& body) = 0;

  // How many ranks there are.
  virtual int size() const = 0;
};

// Ranks that are threads of the test's process.
class ThreadRanks : public RankRunner {
 public:
  explicit ThreadRanks(int size) : size_(size) {}
  void Run(const CommunicatorOptions& options, const Body& body) override;
  int size() const override { return size_; }

 private:
  const int size_;
};

// ThreadRanks(size).Run with a timeout of 20 seconds.
void RunThreadRanks(int size, const RankRunner::Body& body);

}  // namespace moe

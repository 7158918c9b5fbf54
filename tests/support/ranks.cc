#include "tests/support/ranks.h"

#include <memory>
#include <thread>
#include <vector>

#include "comm/thread_communicator.h"

namespace moe {

void ThreadRanks::Run(const CommunicatorOptions& options, const Body& body) {
  const std::vector<std::unique_ptr<HostCommunicator>> ranks =
      MakeThreadCommunicators(size_, options);
  std::vector<std::thread> threads;
  for (const auto& rank : ranks) {
    threads.emplace_back([&body, &rank] { body(*rank); });
  }
  for (std::thread& thread : threads) thread.join();
}

void RunThreadRanks(int size, const RankRunner::Body& body) {
  CommunicatorOptions options;
  options.timeout = absl::Seconds(20);
  ThreadRanks(size).Run(options, body);
}

}  // namespace moe

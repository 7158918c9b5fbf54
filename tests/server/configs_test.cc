// The configurations that ship with the source.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "server/model_loader.h"
#include "server/server_config.h"
#include "tests/support/golden.h"

namespace moe {
namespace {

std::vector<std::string> ConfigFiles() {
  std::vector<std::string> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(TestDataPath("configs"))) {
    if (entry.path().extension() == ".textproto") files.push_back(entry.path());
  }
  return files;
}

TEST(ConfigsTest, TheDemosAreThere) { EXPECT_GE(ConfigFiles().size(), 2u); }

TEST(ConfigsTest, EveryConfigurationIsValidAndItsModelOpens) {
  for (const std::string& file : ConfigFiles()) {
    const auto config = LoadServerConfig(file);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_NE(config->tokenizer_path, "") << file;
    const absl::Status status = CheckModelFiles(*config);
    EXPECT_TRUE(status.ok()) << file << ": " << status;
  }
}

}  // namespace
}  // namespace moe

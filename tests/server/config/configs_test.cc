// The configurations in configs/.
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/config/server_config.h"
#include "server/process/model_loader.h"
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

TEST(ConfigsTest, TheConfiguredRanksCanHoldTheModel) {
  const std::string file = TestDataPath("configs/demo_cpu.textproto");
  const auto config = LoadServerConfig(file);
  ASSERT_TRUE(config.ok()) << config.status();
  const auto check = [&](int tensor_degree, int nodes,
                         std::optional<ExchangeKind> exchange) {
    ServerConfig changed = *config;
    changed.world_size = 4;
    changed.nodes = nodes;
    changed.engine.parallel.tensor_degree = tensor_degree;
    changed.engine.parallel.exchange = exchange;
    return CheckModelFiles(changed);
  };
  EXPECT_TRUE(check(0, 0, std::nullopt).ok());
  EXPECT_TRUE(check(2, 2, std::nullopt).ok());
  EXPECT_TRUE(check(0, 2, ExchangeKind::kHierarchical).ok());
  // It is valid on some machines only, which a warning says.
  EXPECT_TRUE(check(0, 0, ExchangeKind::kHierarchical).ok());
  for (const int degree : {5, 8}) {
    EXPECT_EQ(check(degree, 0, std::nullopt).message(),
              absl::StrCat("parallel, of world_size 4: tensor degree ", degree,
                           " must divide the world of 4 ranks"));
  }
  const absl::Status one_node = check(0, 1, ExchangeKind::kHierarchical);
  EXPECT_TRUE(absl::StrContains(one_node.message(),
                                "exchange hierarchical is not possible"))
      << one_node;
}

}  // namespace
}  // namespace moe

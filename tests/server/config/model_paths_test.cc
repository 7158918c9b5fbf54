// The paths of the section `model`: what is found beside them, and what is said
// of those that lead nowhere.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/config/server_config.h"
#include "tests/support/unprivileged.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

class ModelPathsTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(save_ / "global_step3");
    std::ofstream(save_ / "tokenizer.json") << "{}";
  }
  void TearDown() override { fs::remove_all(dir_); }

  absl::StatusOr<ServerConfig> Parse(const std::string& path) const {
    return ParseServerConfig(absl::StrCat("model { path: \"", path, "\" }"),
                             (dir_ / "server.textproto").string());
  }
  std::string TokenizerOf(const std::string& path) const {
    const auto config = Parse(path);
    EXPECT_TRUE(config.ok()) << config.status();
    return config.ok() ? config->tokenizer_path : "";
  }
  void ExpectRefused(const std::string& path, const std::string& says) const {
    const absl::Status status = Parse(path).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), says)) << status;
  }

  const fs::path dir_ = fs::path(std::getenv("TEST_TMPDIR")) / "model_paths";
  const fs::path save_ = dir_ / "saved";
};

TEST_F(ModelPathsTest, ATagsDirectoryHasTheTokenizerBesideIt) {
  // Only beside a directory with model states.
  EXPECT_EQ(TokenizerOf("saved/global_step3"), "");
  std::ofstream(save_ / "global_step3" / "mp_rank_00_model_states.pt") << "x";
  const std::string beside = fs::canonical(save_) / "tokenizer.json";
  EXPECT_EQ(TokenizerOf("saved/global_step3"), beside);
  EXPECT_EQ(TokenizerOf("saved/global_step3/"), beside);
  fs::create_directory_symlink("saved/global_step3", dir_ / "link");
  EXPECT_EQ(TokenizerOf("link"), beside);
}

TEST_F(ModelPathsTest, ATokenizerThatCannotBeReadIsNotPassedOver) {
  std::ofstream(save_ / "global_step3" / "mp_rank_00_model_states.pt") << "x";
  const fs::path own = save_ / "global_step3" / "tokenizer.json";
  fs::create_symlink("gone", own);
  EXPECT_EQ(TokenizerOf("saved/global_step3"), own.string());
}

TEST_F(ModelPathsTest, PathsThatLeadNowhereAreExplained) {
  fs::create_symlink("gone", dir_ / "broken");
  ExpectRefused("broken", "\", a symbolic link to gone, which does not exist");
  fs::permissions(save_, fs::perms::none);
  {
    const Unprivileged user;
    if (user.active()) {
      ExpectRefused("saved/global_step3",
                    "which cannot be reached: Permission denied; this process "
                    "runs as user ");
    }
  }
  fs::permissions(save_, fs::perms::owner_all);
}

}  // namespace
}  // namespace moe

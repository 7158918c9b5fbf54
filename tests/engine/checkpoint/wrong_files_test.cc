// What is said of files and directories that are no checkpoint of DeepSpeed:
// what was found, and what to give.

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/checkpoint/torch/pickle_writer.h"
#include "engine/checkpoint/torch/zip_writer.h"
#include "engine/loading/open_checkpoint.h"
#include "gtest/gtest.h"
#include "kernels/core/dtype.h"
#include "tests/support/temp_checkpoint.h"
#include "tests/support/unprivileged.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using Code = absl::StatusCode;

constexpr char kFirstRank[] = "mp_rank_00_model_states.pt";

void ExpectRefused(const std::string& path, Code code,
                   const std::vector<std::string>& says) {
  const absl::Status status = OpenCheckpoint(path).status();
  EXPECT_EQ(status.code(), code) << status;
  for (const std::string& part : says) {
    EXPECT_TRUE(absl::StrContains(status.message(), part))
        << status << "\n  lacks: " << part;
  }
}

class WrongDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) /
            testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  // Files of one byte.
  void Write(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      fs::create_directories((root_ / name).parent_path());
      WriteFileOrDie(root_ / name, "x");
    }
  }
  void ExpectSaid(const std::vector<std::string>& says) {
    ExpectRefused(root_, Code::kNotFound, says);
  }

  fs::path root_;
};

TEST_F(WrongDirectoryTest, Empty) {
  ExpectSaid(
      {": no mp_rank_00_model_states.pt in it: it is empty; give a "
       "directory that DeepSpeed saved to"});
}

TEST_F(WrongDirectoryTest, MegatronWithoutDeepSpeed) {
  Write({"latest_checkpointed_iteration.txt",
         "iter_0000100/mp_rank_00/model_optim_rng.pt"});
  ExpectSaid({"of Megatron-LM without DeepSpeed (iter_0000100, latest_check",
              "save with --deepspeed"});
  root_ /= "iter_0000100";
  ExpectSaid({"of Megatron-LM without DeepSpeed (mp_rank_00)"});
  root_ /= "mp_rank_00";
  ExpectSaid({"of Megatron-LM without DeepSpeed (model_optim_rng.pt)"});
  root_ = root_.parent_path().parent_path();
}

TEST_F(WrongDirectoryTest, UniversalCheckpoint) {
  Write({"latest_universal",
         "global_step5_universal/zero/embedding.weight/fp32.pt"});
  ExpectSaid({"a universal checkpoint", "that it was converted from"});
  WriteFileOrDie(root_ / "latest", "global_step5_universal");
  ExpectSaid({"global_step5_universal: ", "a universal checkpoint"});
}

TEST_F(WrongDirectoryTest, OptimizerStatesOnly) {
  Write({"zero_pp_rank_0_mp_rank_00_optim_states.pt",
         "expp_rank_0_mp_rank_00_optim_states.pt"});
  ExpectSaid({"it has optimizer states only, expp_rank_0_mp_rank_00_optim",
              "copy the files *_model_states.pt"});
}

TEST_F(WrongDirectoryTest, ExpertsOnly) {
  Write({"layer_0_expert_0_mp_rank_00_model_states.pt"});
  ExpectSaid({"it has expert files only, layer_0_expert_0", "mp_rank_*"});
}

TEST_F(WrongDirectoryTest, OneAboveTheCheckpoint) {
  Write({"run_1/latest", "notes.txt"});
  ExpectSaid({absl::StrCat("give ", (root_ / "run_1").string())});
  Write({"run_2/latest"});
  ExpectSaid({"2 directories in it are checkpoints",
              absl::StrCat("such as ", (root_ / "run_1").string(),
                           " (run_1, run_2)")});
}

TEST_F(WrongDirectoryTest, TagsWithoutLatest) {
  Write({absl::StrCat("global_step7/", kFirstRank),
         "latest_checkpointed_iteration.txt"});
  ExpectSaid({absl::StrCat("give ", (root_ / "global_step7").string())});
}

TEST_F(WrongDirectoryTest, OtherForms) {
  Write({"config.json", "model.safetensors"});
  ExpectSaid({"weights in another form (model.safetensors)", "Hugging Face"});
  fs::remove(root_ / "model.safetensors");
  Write({"pytorch_model.bin"});
  ExpectSaid({"weights in another form (pytorch_model.bin)"});
  fs::remove(root_ / "pytorch_model.bin");
  Write({"__0_0.distcp"});
  ExpectSaid({"a checkpoint of torch.distributed (__0_0.distcp)"});
  fs::remove(root_ / "__0_0.distcp");
  Write({absl::StrCat(kFirstRank, ".gz")});
  ExpectSaid({"mp_rank_00_model_states.pt.gz: unpack them"});
  fs::remove(root_ / absl::StrCat(kFirstRank, ".gz"));
  ExpectSaid({"it holds config.json; give a directory that DeepSpeed saved"});
  Write({"a", "b", "c", "d"});
  ExpectSaid({"it holds a, b, c, config.json, ... (5 in all); give"});
}

TEST_F(WrongDirectoryTest, AFileInsteadOfADirectory) {
  TempCheckpoint checkpoint("variants/strays");
  ExpectRefused(checkpoint.path() + "/latest", Code::kNotFound,
                {"/latest: is a file, not a directory; give the directory that "
                 "it is in, " +
                 checkpoint.path()});
  ExpectRefused(checkpoint.tag_path() + "/" + kFirstRank, Code::kNotFound,
                {"give the directory that it is in, " + checkpoint.tag_path()});
  Write({"file"});
  root_ /= "file";
  ExpectSaid({"file: is a file, not a directory; give a directory that Deep"});
  root_ = root_.parent_path();
}

TEST_F(WrongDirectoryTest, BrokenLinks) {
  fs::create_symlink("gone", root_ / "model");
  ExpectRefused(root_ / "model", Code::kNotFound,
                {"model: is a symbolic link to gone, which does not exist"});
  fs::create_symlink("gone", root_ / "latest");
  ExpectSaid({"/latest: cannot open: ",
              "it is a symbolic link to gone, which does not exist"});
  fs::remove(root_ / "latest");
  fs::create_symlink("gone", root_ / kFirstRank);
  ExpectSaid({absl::StrCat("/", kFirstRank, ": cannot open: "),
              "it is a symbolic link to gone, which does not exist"});
}

TEST_F(WrongDirectoryTest, WithoutPermission) {
  Write({"closed/latest", kFirstRank});
  fs::permissions(root_ / "closed", fs::perms::none);
  fs::permissions(root_ / kFirstRank, fs::perms::none);
  {
    const Unprivileged user;
    if (!user.active()) GTEST_SKIP() << "the system keeps root's capabilities";
    ExpectRefused(root_ / "closed", Code::kPermissionDenied,
                  {"/closed: cannot list: ", "; this process runs as user "});
    ExpectRefused(root_, Code::kPermissionDenied,
                  {"/mp_rank_00_model_states.pt: cannot open: ",
                   "this process runs as "});
  }
  fs::permissions(root_ / "closed", fs::perms::owner_all);
}

// Every file of a checkpoint, each replaced by what is there by mistake.

struct WrongFile {
  std::string name;
  std::string bytes;
  std::string says;
};

class WrongFileTest : public testing::TestWithParam<WrongFile> {};

TEST_P(WrongFileTest, IsNamedForEachFile) {
  TempCheckpoint checkpoint("variants/strays");
  for (const std::string& file : checkpoint.files()) {
    const std::string bytes = ReadFileOrDie(file);
    WriteFileOrDie(file, GetParam().bytes);
    ExpectRefused(checkpoint.path(), Code::kDataLoss,
                  {file + ": ", GetParam().says});
    WriteFileOrDie(file, bytes);
  }
  const std::string latest = checkpoint.path() + "/latest";
  WriteFileOrDie(latest, GetParam().bytes);
  EXPECT_TRUE(absl::StrContains(
      OpenCheckpoint(checkpoint.path()).status().message(), latest));
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongFileTest,
    testing::ValuesIn<WrongFile>({
        {"LfsPointer",
         "version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
         "not a file of torch.save: it is a Git LFS pointer"},
        {"Zeros", std::string(5000, '\0'), "it is zeros, all of its 5000"},
        {"Html", "<!DOCTYPE html><html>", "it is an HTML page"},
        {"Gzip", "\x1f\x8b\x08", "it is compressed by gzip: unpack it"},
        {"Safetensors", std::string("\x40\0\0\0\0\0\0\0{\"a\":", 13),
         "it is a safetensors file"},
        {"Empty", "", ": is empty"},
        {"CutZip", "PK\x03\x04" + std::string(100, 'x'),
         "it is cut short, or not a file of torch.save"},
        {"ZipThatEndsInZeros", "PK\x03\x04" + std::string(100, '\0'),
         "it ends in zeros, so that its copy or download was not finished"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(WrongContentTest, LatestOfAnotherKindIsNamed) {
  TempCheckpoint checkpoint("variants/strays");
  WriteFileOrDie(checkpoint.path() + "/latest",
                 "version https://git-lfs.github.com/spec/v1\noid sha256:1\n");
  ExpectRefused(checkpoint.path(), Code::kDataLoss,
                {"/latest: '", "; the file is a Git LFS pointer"});
  WriteFileOrDie(checkpoint.path() + "/latest", std::string(100, '\0'));
  ExpectRefused(checkpoint.path(), Code::kDataLoss,
                {"/latest: '", "; the file is zeros"});
}

TEST(WrongContentTest, AZipOfOtherThingsIsNamed) {
  TempCheckpoint checkpoint("variants/strays");
  const std::string file = checkpoint.tag_path() + "/" + kFirstRank;
  fs::remove(file);
  auto zip = ZipWriter::Create(file);
  ASSERT_TRUE(zip.ok()) << zip.status();
  ASSERT_TRUE((*zip)->AddEntry("word/document.xml", "<x/>").ok());
  ASSERT_TRUE((*zip)->Close().ok());
  ExpectRefused(checkpoint.path(), Code::kDataLoss,
                {file + ": a zip archive without data.pkl",
                 "it holds word/document.xml"});
}

// An object of torch.save that has other things at its top.
TEST(WrongContentTest, ObjectsOfOthersAreNamed) {
  TempCheckpoint checkpoint("variants/strays");
  const std::string file = checkpoint.tag_path() + "/" + kFirstRank;
  const auto refuse = [&](const std::vector<std::string>& keys,
                          bool with_tensor, const std::string& says) {
    PickleWriter pickle;
    pickle.BeginDict();
    for (const std::string& key : keys) {
      pickle.Key(key);
      if (with_tensor) {
        pickle.Tensor("0", DType::kF32, {1});
      } else {
        pickle.Int(3);
      }
    }
    pickle.EndDict();
    fs::remove(file);
    auto zip = ZipWriter::Create(file);
    ASSERT_TRUE(zip.ok()) << zip.status();
    ASSERT_TRUE((*zip)->AddEntry("archive/data.pkl", pickle.Finish()).ok());
    ASSERT_TRUE((*zip)->Close().ok());
    ExpectRefused(checkpoint.path(), Code::kDataLoss,
                  {file + ": no `module` in it", says});
  };
  refuse({"optimizer_state_dict"}, false, "but optimizer states only");
  refuse({"iteration", "model"}, false, "of Megatron-LM without DeepSpeed");
  refuse({"lm_head.weight"}, true, "but a plain state dict");
  refuse({"x"}, false, "but a dict of 1");
}

TEST(WrongContentTest, AnExpertOfAUniversalCheckpointIsExplained) {
  TempCheckpoint checkpoint("variants/strays");
  fs::create_directory(checkpoint.tag_path() + "/zero");
  fs::remove(checkpoint.File("expert_1"));
  ExpectRefused(checkpoint.path(), Code::kNotFound,
                {"expert 1 of the 2 of layer 1 is missing",
                 "It is a universal checkpoint"});
}

}  // namespace
}  // namespace moe

// What is said of checkpoints that are incomplete, inconsistent or hostile.

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/checkpoint/deepspeed/weight_merge.h"
#include "engine/checkpoint/torch/pickle_writer.h"
#include "engine/checkpoint/torch/torch_file.h"
#include "engine/checkpoint/torch/zip_writer.h"
#include "engine/config/weight_inventory.h"
#include "engine/loading/open_checkpoint.h"
#include "gtest/gtest.h"
#include "tests/support/temp_checkpoint.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

void ExpectRefused(const std::string& path, absl::StatusCode code,
                   const std::string& message) {
  const absl::Status status = OpenCheckpoint(path).status();
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), message))
      << status << "\n  lacks: " << message;
}

// A torch.save file with that object and no storages.
void WriteTorchFile(const std::string& path, const std::string& pickle) {
  auto zip = ZipWriter::Create(path);
  ASSERT_TRUE(zip.ok()) << zip.status();
  ASSERT_TRUE((*zip)->AddEntry("archive/data.pkl", pickle).ok());
  ASSERT_TRUE((*zip)->Close().ok());
}

TEST(MissingCheckpointTest, SaysWhatIsNotThere) {
  ExpectRefused("/nonexistent/model", absl::StatusCode::kNotFound,
                "/nonexistent/model: cannot list: No such file");
  const std::string empty = testing::TempDir() + "/empty_checkpoint";
  fs::create_directories(empty);
  ExpectRefused(empty, absl::StatusCode::kNotFound,
                empty + ": no mp_rank_00_model_states.pt in it");
  TempCheckpoint checkpoint("variants/strays");
  ExpectRefused(checkpoint.path() + "/latest", absl::StatusCode::kNotFound,
                "/latest: is a file, not a directory");
  ExpectRefused("", absl::StatusCode::kNotFound, "cannot list");
}

TEST(MissingCheckpointTest, LatestMustNameADirectoryBesideIt) {
  TempCheckpoint checkpoint("variants/strays");
  const std::string latest = checkpoint.path() + "/latest";
  for (const char* tag :
       {"../strays", "..", ".", "/etc", "a/b", "\n", "a\tb"}) {
    WriteFileOrDie(latest, tag);
    ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss,
                  latest + ": '");
  }
  WriteFileOrDie(latest, std::string(1000, 'a'));
  ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss, latest);
  WriteFileOrDie(latest, "");
  ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss,
                latest + ": is empty");
  WriteFileOrDie(latest, "global_step99");
  ExpectRefused(checkpoint.path(), absl::StatusCode::kNotFound,
                latest + " names global_step99");
  WriteFileOrDie(latest, "global_step3\n");  // an editor's line end is fine
  EXPECT_TRUE(OpenCheckpoint(checkpoint.path()).ok());
}

TEST(MissingFilesTest, AMissingExpertIsNamed) {
  TempCheckpoint checkpoint("variants/old_experts_version_1");
  fs::remove(checkpoint.File("expert_1"));
  ExpectRefused(checkpoint.path(), absl::StatusCode::kNotFound,
                "expert 1 of the 2 of layer 1 is missing");
  TempCheckpoint other("variants/swiglu_gqa_tp2");
  fs::remove(other.File("expert_3"));
  ExpectRefused(other.path(), absl::StatusCode::kNotFound,
                "expert 3 of the 4 of layer 1 is missing");
  ExpectRefused(other.path(), absl::StatusCode::kNotFound, other.tag_path());
}

TEST(MissingFilesTest, AMissingSliceOfAnExpertIsNamed) {
  TempCheckpoint checkpoint("variants/expert_slices");
  fs::remove(checkpoint.File("layer_1_expert_0_mp_rank_01"));
  ExpectRefused(checkpoint.path(), absl::StatusCode::kNotFound,
                "layers.3.experts.0.up.weight [12, 16] is one of 2 slices");
}

TEST(MissingFilesTest, AMissingTensorRankIsNamed) {
  TempCheckpoint checkpoint("variants/swiglu_gqa_tp2");
  fs::remove(checkpoint.tag_path() + "/mp_rank_00_model_states.pt");
  ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss,
                "no file of tensor rank 0");
}

TEST(MissingFilesTest, TheLastTensorRankMissingIsNoticed) {
  TempCheckpoint checkpoint("variants/q_k_v_tp2");
  fs::remove(checkpoint.tag_path() + "/mp_rank_01_model_states.pt");
  // Before that, an expert of that rank would be complained about.
  fs::remove(checkpoint.File("expert_1"));
  ExpectRefused(checkpoint.path(), absl::StatusCode::kNotFound,
                "args.tensor_model_parallel_size is 2, but there are mp_rank "
                "files of 1 ranks");
}

TEST(WrongFilesTest, AnExpertInAnothersFileIsRefused) {
  TempCheckpoint checkpoint("variants/strays");
  const std::string one = checkpoint.File("expert_1");
  WriteFileOrDie(one, ReadFileOrDie(checkpoint.File("expert_0")));
  ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss,
                one + ": holds layers.1.experts.0.");
}

TEST(WrongFilesTest, AnExpertInTwoFilesIsRefused) {
  TempCheckpoint checkpoint("variants/strays");
  const std::string copy =
      checkpoint.tag_path() + "/layer_7_expert_0_mp_rank_00_model_states.pt";
  WriteFileOrDie(copy, ReadFileOrDie(checkpoint.File("expert_0")));
  ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss, "is also in ");
}

TEST(WrongFilesTest, AnExpertTooManyIsRefused) {
  TempCheckpoint checkpoint("variants/strays");
  TempCheckpoint larger("variants/replicas_differ");  // of four experts
  const std::string name = "/layer_0_expert_3_mp_rank_00_model_states.pt";
  WriteFileOrDie(checkpoint.tag_path() + name,
                 ReadFileOrDie(larger.File("expert_3")));
  ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss,
                "there is an expert 3 of layer 1, but the model has 2");
}

TEST(WrongFilesTest, AnExpertOfAnotherShapeIsRefused) {
  TempCheckpoint checkpoint("variants/strays");
  TempCheckpoint gated(
      "variants/file_object");  // SwiGLU: up has twice the rows
  const std::string file = checkpoint.File("expert_1");
  WriteFileOrDie(file, ReadFileOrDie(gated.File("expert_1")));
  ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss,
                file +
                    ": the weight layers.1.experts.1.up.weight is [48, 16], "
                    "should be [24, 16]");
}

TEST(WrongFilesTest, AnExpertOfATensorRankThatIsNotThereIsRefused) {
  TempCheckpoint checkpoint("variants/strays");
  const std::string file =
      checkpoint.tag_path() + "/layer_0_expert_1_mp_rank_05_model_states.pt";
  fs::rename(checkpoint.File("expert_1"), file);
  ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss,
                file + ": of tensor rank 5");
}

TEST(WrongFilesTest, WeightsThatTheDecoderDoesNotKnowAreNamed) {
  TempCheckpoint checkpoint("variants/strays");
  const std::string file =
      checkpoint.tag_path() + "/mp_rank_00_model_states.pt";
  for (const char* key :
       {"embedding.word_embeddings.norm.weight", "encoder.norm.bias",
        "encoder.layers.0.self_attention.q_norm.weight"}) {
    fs::remove(file);
    PickleWriter pickle;
    pickle.BeginDict();
    pickle.Key("module");
    pickle.BeginDict();
    pickle.Key(absl::StrCat("language_model.", key));
    pickle.Tensor("0", DType::kF32, {16});
    pickle.EndDict();
    pickle.EndDict();
    WriteTorchFile(file, pickle.Finish());
    ExpectRefused(checkpoint.path(), absl::StatusCode::kInvalidArgument,
                  absl::StrCat(file, ": the weight language_model.", key,
                               " is not supported"));
  }
}

TEST(WrongFilesTest, LayoutsThatAreNotSupportedAreNamed) {
  TempCheckpoint checkpoint("variants/strays");
  const std::string zero =
      checkpoint.tag_path() + "/zero_pp_rank_0_mp_rank_00_model_states.pt";
  WriteFileOrDie(zero, "x");
  ExpectRefused(checkpoint.path(), absl::StatusCode::kInvalidArgument,
                zero + ": weights sharded by ZeRO stage 3");
  fs::remove(zero);
  const std::string pipe =
      checkpoint.tag_path() + "/layer_01-model_00-model_states.pt";
  WriteFileOrDie(pipe, "x");
  ExpectRefused(checkpoint.path(), absl::StatusCode::kInvalidArgument,
                pipe + ": the layer files of a pipelined model");
}

TEST(WrongFilesTest, OtherFilesAreRefusedByName) {
  for (const char* part : {"mp_rank_00_model", "expert_1"}) {
    TempCheckpoint checkpoint("variants/strays");
    const std::string file =
        part == std::string("expert_1")
            ? checkpoint.File(part)
            : checkpoint.tag_path() + "/mp_rank_00_model_states.pt";
    WriteFileOrDie(file, "");
    ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss,
                  file + ": is empty");
    WriteFileOrDie(file, "version https://git-lfs.github.com/spec/v1");
    ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss,
                  file + ": not a file of torch.save");
    fs::remove(file);
    fs::create_directory(file);
    ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss,
                  file + ": is not a regular file");
  }
}

TEST(HostilePickleTest, NothingIsExecutedAndTheFileIsNamed) {
  TempCheckpoint checkpoint("variants/strays");
  const std::string file =
      checkpoint.tag_path() + "/mp_rank_00_model_states.pt";
  const std::string trap = checkpoint.path() + "/trap";
  fs::remove(file);
  PickleWriter pickle;
  pickle.BeginDict();
  pickle.Key("module");
  pickle.Global("posix", "system");
  std::string bytes = pickle.Finish();
  bytes.pop_back();
  PickleWriter command;
  command.String("touch " + trap);
  std::string text = command.Finish();
  bytes += text.substr(2, text.size() - 3) + "\x85Ru.";
  WriteTorchFile(file, bytes);
  ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss,
                file + ": the state of the module is a object of posix.system");
  EXPECT_FALSE(fs::exists(trap));
}

TEST(HostilePickleTest, DictsThatShareTheirValuesAreNotWalkedForever) {
  // 12 dicts, each with the one before under 30 keys: 30^12 leaves.
  TempCheckpoint checkpoint("variants/strays");
  const std::string file =
      checkpoint.tag_path() + "/mp_rank_00_model_states.pt";
  fs::remove(file);
  PickleWriter pickle;
  pickle.BeginDict();
  pickle.Key("module");
  std::string bytes = pickle.Finish();
  bytes.pop_back();
  bytes += "}";
  for (int depth = 0; depth < 12; ++depth) {
    bytes += absl::StrCat("q", std::string(1, static_cast<char>(depth)), "0}(");
    for (char key = 'a'; key < 'a' + 30; ++key) {
      bytes += absl::StrCat("X\x01", std::string(3, '\0'), std::string(1, key),
                            "h", std::string(1, static_cast<char>(depth)));
    }
    bytes += "u";
  }
  bytes += "u.";
  WriteTorchFile(file, bytes);
  ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss,
                file + ": the state of the module has too");
}

TEST(HostilePickleTest, ADictThatHoldsItselfIsRefused) {
  TempCheckpoint checkpoint("variants/strays");
  const std::string file =
      checkpoint.tag_path() + "/mp_rank_00_model_states.pt";
  fs::remove(file);
  WriteTorchFile(file, std::string("}q\0(X\x06\0\0\0moduleh\0u.", 20));
  ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss,
                file + ": the state of the module nests too deep");
}

TEST(HostilePickleTest, ATensorOutsideItsFileIsRefusedWhenRead) {
  // The pickle says 2^40 elements, the archive has no storage at all.
  TempCheckpoint checkpoint("variants/strays");
  const std::string file = checkpoint.File("expert_1");
  fs::remove(file);
  PickleWriter pickle;
  pickle.BeginDict();
  const std::string prefix =
      "language_model.encoder.layers.1.mlp.deepspeed_moe.experts."
      "deepspeed_experts.1.";
  pickle.Key(prefix + "dense_h_to_4h.weight");
  pickle.Tensor("0", DType::kF32, {int64_t{1} << 20, int64_t{1} << 20});
  pickle.EndDict();
  WriteTorchFile(file, pickle.Finish());
  ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss,
                "is [1048576, 1048576], should be [24, 16]");
}

TEST(HostilePickleTest, AWholeIsNotSizedByPartsThatAreNotThere) {
  // 4 TiB that the pickle claims and the archive lacks, in an order of rows
  // that takes a copy.
  const std::string path = testing::TempDir() + "/claims.pt";
  PickleWriter pickle;
  pickle.BeginDict();
  pickle.Key("qkv");
  const std::vector<int64_t> dims = {3 << 18, 1 << 20};
  pickle.Tensor("0", DType::kF32, dims);
  pickle.EndDict();
  WriteTorchFile(path, pickle.Finish());
  const auto file = TorchFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->ListTensors((*file)->root()).ok());
  ASSERT_EQ((*file)->tensors().size(), 1u);
  EXPECT_EQ((*file)->tensors()[0].name, "qkv");
  EXPECT_EQ((*file)->tensors()[0].dims, dims);
  WeightSource source;
  source.dims = dims;
  source.parts = {{file->get(), 0, WeightSplit::kQkv, 0}};
  FusedRows fused;
  fused.num_heads = fused.num_kv_heads = 1 << 10;
  fused.head_dim = 1 << 8;
  fused.qkv_layout = QkvLayout::kHeadInterleaved;
  const absl::Status status =
      ReadWeight(source, fused, "qkv", WeightSlice(), false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "is not in the file"))
      << status;
}

TEST(DamagedWeightsTest, AFlippedBitInAWeightIsFoundByItsChecksum) {
  TempCheckpoint checkpoint("prmoe_head");
  const std::string file = checkpoint.File("layer_1_expert_2");
  std::string bytes = ReadFileOrDie(file);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  WriteFileOrDie(file, bytes);
  const auto opened = OpenCheckpoint(checkpoint.path());
  ASSERT_TRUE(opened.ok()) << opened.status();
  int damaged = 0;
  for (const WeightSpec& spec : WeightInventory((*opened)->config()).All()) {
    const absl::Status status = (*opened)->Get(spec.name).status();
    if (status.ok()) continue;
    ++damaged;
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_TRUE(absl::StrContains(status.message(), file)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "checksum")) << status;
    EXPECT_TRUE(absl::StartsWith(spec.name, "layers.3.experts.2."));
  }
  EXPECT_EQ(damaged, 1);
}

TEST(DamagedWeightsTest, EveryTruncationIsRefusedByName) {
  TempCheckpoint checkpoint("variants/residual_a");
  for (const std::string& file : checkpoint.files()) {
    const std::string bytes = ReadFileOrDie(file);
    for (int part = 1; part < 40; ++part) {
      WriteFileOrDie(file, bytes.substr(0, bytes.size() * part / 40));
      ExpectRefused(checkpoint.path(), absl::StatusCode::kDataLoss, file);
    }
    WriteFileOrDie(file, bytes);
  }
  EXPECT_TRUE(OpenCheckpoint(checkpoint.path()).ok());
}

}  // namespace
}  // namespace moe

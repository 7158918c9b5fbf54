#include "engine/checkpoint/torch/unpickler.h"

#include <cstring>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/checkpoint/torch/pickle_writer.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

using Kind = PickleValue::Kind;

// A literal with its NUL bytes.
template <size_t N>
std::string Bytes(const char (&text)[N]) {
  return std::string(text, N - 1);
}

std::string Text(const std::string& value) {  // BINUNICODE
  std::string bytes = "X";
  for (int i = 0; i < 4; ++i) {
    bytes.push_back(static_cast<char>(value.size() >> (8 * i)));
  }
  return bytes + value;
}

class UnpicklerTest : public testing::Test {
 protected:
  // nullptr if it fails.
  const PickleValue* Load(const std::string& bytes) {
    bytes_ = bytes;
    const auto result = Unpickle(bytes_, "file.pt", arena_);
    status_ = result.status();
    return result.ok() ? result->value : nullptr;
  }

  std::string bytes_;
  PickleArena arena_;
  absl::Status status_;
};

TEST_F(UnpicklerTest, ReadsScalars) {
  const PickleValue* v = Load(
      Bytes("\x80\x02(N\x88\x89K\xffM\x01\x02J\xfe\xff\xff\xff\x8a\x02\x00\xff"
            "\x8a\x00G\x3f\xf8\x00\x00\x00\x00\x00\x00t."));
  ASSERT_NE(v, nullptr) << status_;
  ASSERT_EQ(v->items.size(), 9u);
  EXPECT_TRUE(v->items[0]->is(Kind::kNone));
  EXPECT_EQ(v->items[1]->AsBool(), true);
  EXPECT_EQ(v->items[2]->AsBool(), false);
  EXPECT_EQ(v->items[3]->AsInt(), 255);
  EXPECT_EQ(v->items[4]->AsInt(), 513);
  EXPECT_EQ(v->items[5]->AsInt(), -2);
  EXPECT_EQ(v->items[6]->AsInt(), -256);
  EXPECT_EQ(v->items[7]->AsInt(), 0);
  EXPECT_EQ(v->items[8]->AsDouble(), 1.5);
}

TEST_F(UnpicklerTest, ReadsProtocolFourStringsMemoAndGlobals) {
  const PickleValue* v =
      Load(Bytes("\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00"
                 "\x8c\x08"
                 "argparse\x94\x8c\x09Namespace\x94\x93)\x81}\x8c\x01"
                 "aK\x05sb."));
  ASSERT_NE(v, nullptr) << status_;
  ASSERT_NE(v->Find("a"), nullptr);
  EXPECT_EQ(v->Find("a")->AsInt(), 5);
  EXPECT_EQ(v->Find("b"), nullptr);
}

TEST_F(UnpicklerTest, ReadsWhatTheWriterWrites) {
  PickleWriter writer;
  writer.BeginDict();
  writer.Key("tensor");
  writer.Tensor("7", DType::kBf16, {2, 3});
  writer.Key("big");
  writer.Int(int64_t{1} << 40);
  writer.Key("list");
  writer.IntList({4, -5});
  writer.EndDict();
  const PickleValue* v = Load(writer.Finish());
  ASSERT_NE(v, nullptr) << status_;
  const PickleValue* tensor = v->Find("tensor");
  ASSERT_TRUE(tensor != nullptr && tensor->is(Kind::kTensor));
  EXPECT_EQ(tensor->dims, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(tensor->strides, (std::vector<int64_t>{3, 1}));
  EXPECT_EQ(tensor->dtype, DType::kBf16);
  EXPECT_EQ(tensor->items[0]->text, "7");
  EXPECT_EQ(tensor->items[0]->integer, 6);
  EXPECT_EQ(v->Find("big")->AsInt(), int64_t{1} << 40);
  EXPECT_EQ(v->Find("list")->items[1]->AsInt(), -5);
}

TEST_F(UnpicklerTest, ExecutesNothing) {
  const std::string path = testing::TempDir() + "/unpickler_was_here";
  const PickleValue* v = Load(
      "\x80\x02"
      "cposix\nsystem\n" +
      Text("touch " + path) + "\x85R.");
  ASSERT_NE(v, nullptr) << status_;
  EXPECT_EQ(v->ToString(), "object of posix.system");
  std::FILE* file = std::fopen(path.c_str(), "r");
  EXPECT_EQ(file, nullptr);
  if (file != nullptr) std::fclose(file);
}

TEST_F(UnpicklerTest, UnknownObjectsSwallowTheirStateAndItems) {
  const PickleValue* v =
      Load(Bytes("\x80\x02"
                 "cfoo\nBar\n)\x81}X\x01\x00\x00\x00xK\x01sb"  // NEWOBJ, BUILD
                 "(K\x01K\x02uK\x03"
                 "a."));  // SETITEMS, APPEND
  ASSERT_NE(v, nullptr) << status_;
  EXPECT_TRUE(v->is(Kind::kObject));
  EXPECT_EQ(v->Find("x")->AsInt(), 1);
}

TEST_F(UnpicklerTest, DeepNestingNeedsNoStack) {
  // Neither reading nor dropping half a million nested tuples may recurse.
  const PickleValue* v = Load(")" + std::string(500000, '\x85') + ".");
  ASSERT_NE(v, nullptr) << status_;
  EXPECT_EQ(v->items.size(), 1u);
}

TEST_F(UnpicklerTest, SharedValuesAreNotCopied) {
  // 60 tuples, each of two of the one before: 2^60 leaves in 61 values.
  std::string bytes = ")";
  for (int i = 0; i < 60; ++i) bytes += "2\x86";
  ASSERT_NE(Load(bytes + "."), nullptr) << status_;
  EXPECT_EQ(arena_.values.size(), 61u);
}

TEST_F(UnpicklerTest, AListMayHoldItself) {
  const PickleValue* v =
      Load(Bytes("]q\x00h\x00"
                 "a."));
  ASSERT_NE(v, nullptr) << status_;
  EXPECT_EQ(v->items[0], v);
}

TEST_F(UnpicklerTest, RefusesTooManyValues) {
  EXPECT_EQ(Load(std::string(size_t{2} << 20, 'N') + "."), nullptr);
  EXPECT_EQ(status_.code(), absl::StatusCode::kResourceExhausted) << status_;
  EXPECT_TRUE(absl::StartsWith(status_.message(), "file.pt: pickle byte "));
}

TEST_F(UnpicklerTest, RefusesTooManyMarks) {
  EXPECT_EQ(Load(std::string(size_t{2} << 20, '(') + "."), nullptr);
  EXPECT_EQ(status_.code(), absl::StatusCode::kResourceExhausted) << status_;
}

TEST_F(UnpicklerTest, RefusesRepeatedCopiesOfALargeList) {
  // OrderedDict(list of 100000), a thousand times from 10 bytes each.
  std::string bytes = "](" + std::string(100000, ')') + "eq" + Bytes("\x00");
  bytes += "ccollections\nOrderedDict\nq\x01";
  for (int i = 0; i < 1000; ++i) bytes += Bytes("h\x01h\x00\x85R");
  EXPECT_EQ(Load(bytes + "."), nullptr);
  EXPECT_EQ(status_.code(), absl::StatusCode::kResourceExhausted) << status_;
}

struct BadPickle {
  std::string bytes;
  const char* message;
};

TEST_F(UnpicklerTest, BadPicklesAreRefusedWithTheByte) {
  const std::string storage = "(" + Text("storage") + "ctorch\nFloatStorage\n" +
                              Text("0") + Text("cpu");
  const std::string rebuild = "ctorch._utils\n_rebuild_tensor_v2\n(";
  const BadPickle bad[] = {
      {"", "byte 0 (opcode 0x00): it ends before its STOP"},
      {"\x80\x02N", "byte 3"},
      {".", "the stack is empty"},
      {"N0.", "the stack is empty"},
      {"(.", "the stack is empty"},
      {"N(2.", "the stack is empty"},  // DUP below a mark
      {"t.", "no mark"},
      {"u.", "no mark"},
      {"\x80\x09.", "not a known protocol"},
      {Bytes("h\x05."), "nothing is memorized as 5"},
      {Bytes("X\xff\xff\xff\xffoh"), "a string is longer than the file"},
      {Bytes("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), "longer than the file"},
      {Bytes("\x8b\xff\xff\xff\x7f"), "an integer is longer than the file"},
      {Bytes("\x95\xff\xff\xff\xff\xff\xff\xff\xff"), "a frame is longer"},
      {"cposix", "a global has no end of line"},
      {"NN\x93.", "a global's name is not a string"},
      {"]NNs.", "cannot add items to a list of 0"},
      {"}(Nu.", "a key without a value"},
      {"(Nd.", "a key without a value"},
      {"]NN\x86NNs.", "cannot add items to a tuple"},
      {"cos\nsystem\nNR.", "the arguments of a call are a None"},
      {"NQ.", "a persistent id is not"},
      {storage + "K\x04tQR.", "the stack is empty"},
      {"(" + Text("storage") + "cos\nsystem\n" + Text("0") + Text("cpu") +
           "K\x04tQ.",
       "unknown storage class os.system"},
      {storage + Bytes("J\xff\xff\xff\xfftQ."), "a persistent id is not"},
      {storage + Bytes("K\x04(") + Text("v") + "K\x03K\x02ttQ.",
       "a storage view leaves its storage"},
      {rebuild + "NK\x01))tR.", "a tensor needs a storage"},
      {rebuild + storage + "K\x04tQK\x01NNtR.", "is a None, not a tuple"},
      {rebuild + storage + Bytes("K\x04tQK\x00K\x02\x85)tR."),
       "1 dimensions and 0 strides"},
      {rebuild + storage +
           Bytes("K\x04tQK\x00J\xff\xff\xff\xff\x85K\x01\x85tR."),
       "a tensor's dimension or stride is int -1"},
      {rebuild + storage + Bytes("K\x04tQK\x00(") + std::string(40, 'N') +
           "t)tR.",
       "a tensor has 40 dimensions"},
      {"i", "an opcode that PyTorch does not write"},
  };
  for (const BadPickle& test : bad) {
    EXPECT_EQ(Load(test.bytes), nullptr) << test.message;
    EXPECT_EQ(status_.code(), absl::StatusCode::kDataLoss) << status_;
    EXPECT_TRUE(
        absl::StartsWith(status_.message(), "file.pt: damaged pickle, byte "))
        << status_;
    EXPECT_TRUE(absl::StrContains(status_.message(), test.message)) << status_;
  }
}

}  // namespace
}  // namespace moe

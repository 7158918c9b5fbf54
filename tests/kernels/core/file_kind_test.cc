#include "kernels/core/file_kind.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

struct KindCase {
  std::string name;
  std::string bytes;
  std::string says;
};

class FileKindTest : public testing::TestWithParam<KindCase> {};

TEST_P(FileKindTest, IsNamed) {
  const std::string said = DescribeBytes(GetParam().bytes);
  EXPECT_TRUE(absl::StrContains(said, GetParam().says)) << said;
}

std::string Bytes(const char* text, size_t size) { return {text, size}; }

INSTANTIATE_TEST_SUITE_P(
    All, FileKindTest,
    testing::ValuesIn<KindCase>({
        {"Empty", "", "empty"},
        {"LfsPointer",
         "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n",
         "git lfs pull"},
        {"Zeros", std::string(3000, '\0'), "zeros, all of its 3000 bytes"},
        {"ManyZeros", std::string((1 << 20) + 1, '\0'),
         "zeros, 1048576 bytes and more"},
        {"ZerosFirst", std::string(100, '\0') + "PK", "100 zero bytes where"},
        {"Html", "\n<!DOCTYPE HTML><html>", "an HTML page"},
        {"HtmlWithMark", "\xef\xbb\xbf<html lang=x>", "an HTML page"},
        {"Xml", "<?xml version=\"1.0\"?><Error>", "an XML text"},
        {"Json", "{\"error\": 1}\nx", "a JSON text that begins with '{"},
        {"Text", "Not found\nmore", "a text that begins with 'Not found'"},
        {"Gzip", "\x1f\x8b\x08", "compressed by gzip: unpack it"},
        {"Xz", Bytes("\xfd\x37zXZ\0", 6), "compressed by xz"},
        {"Zstd", "\x28\xb5\x2f\xfd", "compressed by zstd"},
        {"Zip", "PK\x03\x04", "a zip archive"},
        {"EmptyZip", "PK\x05\x06", "an empty zip archive"},
        {"Tar", std::string(257, 'a') + "ustar", "a tar archive: unpack it"},
        {"Safetensors", Bytes("\x40\0\0\0\0\0\0\0{\"a\":", 13),
         "a safetensors file"},
        {"Gguf", "GGUF\x03", "a GGUF file"},
        {"Numpy", "\x93NUMPY", "a NumPy array"},
        {"Pickle", "\x80\x04\x95", "a Python pickle"},
        {"Unknown", "\x01\x02\x03\x04", "it begins with bytes 01020304"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(FileKindTextTest, OrdinaryTextIsToldFromWhatComesByMistake) {
  for (const char* text : {"{\"a\": 1}", "#version: 0.2\n< s", "\xc4\xa0 t"}) {
    EXPECT_TRUE(IsOrdinaryText(text)) << text;
  }
  for (const char* text : {"", "<!doctype html>", "\x01", "\xff\xfe{",
                           "version https://git-lfs.github.com/spec/v1"}) {
    EXPECT_FALSE(IsOrdinaryText(text)) << text;
  }
}

TEST(PathKindTest, LinksAreFollowedToTheirEnd) {
  const fs::path root = fs::path(testing::TempDir()) / "path_kind";
  fs::create_directories(root);
  EXPECT_EQ(DescribePath(root), "a directory");
  EXPECT_EQ(DescribePath(root / "none"), "nothing");
  fs::create_symlink("none", root / "broken");
  EXPECT_EQ(DescribePath(root / "broken"),
            "a symbolic link to none, which does not exist");
  fs::create_symlink("circle", root / "circle");
  EXPECT_EQ(DescribePath(root / "circle"),
            "a symbolic link that leads back to itself");
  std::ofstream(root / "file") << "x";
  fs::create_symlink("file", root / "link");
  EXPECT_EQ(DescribePath(root / "link"), "a file");
  fs::remove_all(root);
}

}  // namespace
}  // namespace moe

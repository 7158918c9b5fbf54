#include "kernels/core/file_kind.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace moe {
namespace {

constexpr size_t kMaxScannedBytes = size_t{1} << 20;
constexpr size_t kMaxTextBytes = 512;   // looked at to see whether it is text
constexpr size_t kMaxQuotedBytes = 40;  // of a text
constexpr size_t kMinZeros = 16;        // fewer may start a file of any kind
constexpr size_t kTarMagicAt = 257;

struct Magic {
  absl::string_view bytes;
  absl::string_view what;
};

constexpr Magic kCompressors[] = {
    {absl::string_view("\x1f\x8b", 2), "gzip"},
    {absl::string_view("BZh", 3), "bzip2"},
    {absl::string_view("\xfd"
                       "7zXZ\0",
                       6),
     "xz"},
    {absl::string_view("\x28\xb5\x2f\xfd", 4), "zstd"},
    {absl::string_view("7z\xbc\xaf\x27\x1c", 6), "7-Zip"},
};
constexpr Magic kFormats[] = {
    {absl::string_view("PK\x05\x06", 4), "an empty zip archive"},
    {absl::string_view("PK\x03\x04", 4), "a zip archive"},
    {absl::string_view("\x89HDF", 4), "an HDF5 file"},
    {absl::string_view("GGUF", 4), "a GGUF file of llama.cpp"},
    {absl::string_view("\x93NUMPY", 6), "a NumPy array"},
    {absl::string_view("%PDF", 4), "a PDF document"},
    {absl::string_view("\x89PNG", 4), "a PNG image"},
    {absl::string_view("\x7f"
                       "ELF",
                       4),
     "a program or library (ELF)"},
};

bool IsZeros(absl::string_view bytes) {
  return bytes.size() >= kMinZeros &&
         bytes.substr(0, kMinZeros).find_first_not_of('\0') ==
             absl::string_view::npos;
}

std::string DescribeZeros(absl::string_view bytes) {
  const absl::string_view start = bytes.substr(0, kMaxScannedBytes);
  const size_t zeros = start.find_first_not_of('\0');
  return absl::StrCat(
      zeros != absl::string_view::npos
          ? absl::StrCat(zeros, " zero bytes where its beginning should be")
      : start.size() < bytes.size()
          ? absl::StrCat("zeros, ", start.size(), " bytes and more")
          : absl::StrCat("zeros, all of its ", start.size(), " bytes"),
      ": a copy or download that was not finished; copy it again");
}

// A length of 8 bytes, then a JSON object.
bool IsSafetensors(absl::string_view bytes) {
  uint64_t header_bytes = 0;
  if (bytes.size() < 10) return false;
  std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
  return header_bytes >= 2 && header_bytes < (uint64_t{1} << 32) &&
         bytes[8] == '{' && (bytes[9] == '"' || bytes[9] == '}');
}

bool IsText(absl::string_view bytes) {
  for (const char c : bytes.substr(0, kMaxTextBytes)) {
    if (absl::ascii_iscntrl(c) && !absl::ascii_isspace(c)) return false;
    if (static_cast<uint8_t>(c) == 0xff) return false;
  }
  return true;
}

absl::string_view TextStart(absl::string_view bytes) {
  absl::string_view text = bytes.substr(0, kMaxTextBytes);
  absl::ConsumePrefix(&text, "\xef\xbb\xbf");  // byte-order mark
  return absl::StripLeadingAsciiWhitespace(text);
}

// The kinds with a signature; "" for others.
std::string DescribeSigned(absl::string_view bytes) {
  if (bytes.empty()) return "empty: a copy or download that was not finished";
  if (IsZeros(bytes)) return DescribeZeros(bytes);
  if (absl::StartsWith(bytes, "version https://git-lfs.github.com/spec/") ||
      absl::StartsWith(bytes, "version https://hawser.github.com/spec/")) {
    return "a Git LFS pointer, not the file that it stands for: run `git lfs "
           "pull` where the repository was cloned, and copy the file again";
  }
  for (const Magic& magic : kCompressors) {
    if (!absl::StartsWith(bytes, magic.bytes)) continue;
    return absl::StrCat("compressed by ", magic.what, ": unpack it");
  }
  for (const Magic& magic : kFormats) {
    if (absl::StartsWith(bytes, magic.bytes)) return std::string(magic.what);
  }
  if (bytes.size() > kTarMagicAt &&
      absl::StartsWith(bytes.substr(kTarMagicAt), "ustar")) {
    return "a tar archive: unpack it";
  }
  if (IsSafetensors(bytes)) return "a safetensors file";
  if (bytes.size() > 2 && bytes[0] == '\x80' && bytes[1] >= 2 &&
      bytes[1] <= 5) {
    return "a Python pickle";
  }
  const absl::string_view text = TextStart(bytes);
  if (absl::StartsWithIgnoreCase(text, "<!doctype html") ||
      absl::StartsWithIgnoreCase(text, "<html") ||
      absl::StartsWithIgnoreCase(text, "<head")) {
    return "an HTML page: the download answered with a page, such as a login "
           "or an error, not with the file; download it again";
  }
  if (absl::StartsWith(text, "<?xml")) {
    return "an XML text: the download may have answered with an error; look "
           "into it and download the file again";
  }
  return "";
}

}  // namespace

std::string DescribeBytes(absl::string_view bytes) {
  if (std::string kind = DescribeSigned(bytes); !kind.empty()) return kind;
  if (!IsText(bytes)) {
    return absl::StrCat("of an unknown kind: it begins with bytes ",
                        absl::BytesToHexString(bytes.substr(0, 8)));
  }
  const absl::string_view text = TextStart(bytes);
  if (text.empty()) return "white space";
  const absl::string_view line =
      text.substr(0, std::min(text.find_first_of("\r\n"), kMaxQuotedBytes));
  return absl::StrCat(
      text[0] == '{' || text[0] == '[' ? "a JSON text" : "a text",
      " that begins with '", absl::CHexEscape(line), "'");
}

bool IsOrdinaryText(absl::string_view bytes) {
  return DescribeSigned(bytes).empty() && IsText(bytes);
}

std::string DescribePath(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status link = fs::symlink_status(path, error);
  if (link.type() == fs::file_type::symlink) {
    const std::string target = fs::read_symlink(path, error).string();
    const fs::file_status found = fs::status(path, error);
    if (error == std::errc::too_many_symbolic_link_levels) {
      return "a symbolic link that leads back to itself";
    }
    if (found.type() == fs::file_type::not_found) {
      return absl::StrCat("a symbolic link to ", target,
                          ", which does not exist");
    }
  }
  switch (fs::status(path, error).type()) {
    case fs::file_type::regular:
      return "a file";
    case fs::file_type::directory:
      return "a directory";
    case fs::file_type::not_found:
      return "nothing";
    case fs::file_type::fifo:
      return "a named pipe";
    case fs::file_type::socket:
      return "a socket";
    case fs::file_type::block:
    case fs::file_type::character:
      return "a device";
    default:
      return "something that cannot be looked at";
  }
}

std::string PermissionHint() {
  return absl::StrCat("; this process runs as user ", geteuid(), " of group ",
                      getegid());
}

}  // namespace moe

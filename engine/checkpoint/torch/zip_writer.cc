#include "engine/checkpoint/torch/zip_writer.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/checkpoint/torch/crc32.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr uint64_t kAlignment = 64;
constexpr uint32_t kIn64 = 0xffffffff;
// Sizes and checksum follow the payload; the name is UTF-8.
constexpr uint16_t kFlags = 0x0808;
constexpr uint16_t kPaddingField = 0x4246;  // "FB", as PyTorch's
constexpr size_t kLocalBytes = 30;
constexpr size_t kFieldHead = 4;
constexpr size_t kBufferBytes = size_t{1} << 20;

// Little-endian numbers.
class Record {
 public:
  template <typename T>
  Record& Add(T value) {
    for (size_t i = 0; i < sizeof(T); ++i) {
      bytes_.push_back(
          static_cast<char>(static_cast<uint64_t>(value) >> (8 * i)));
    }
    return *this;
  }
  Record& AddText(absl::string_view text) {
    bytes_.append(text.data(), text.size());
    return *this;
  }
  absl::string_view bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

uint32_t Low(uint64_t value) {
  return value >= kIn64 ? kIn64 : static_cast<uint32_t>(value);
}

absl::Status ErrnoStatus(const std::string& path, const char* action) {
  const int error = errno;
  const std::string message =
      absl::StrCat(path, ": cannot ", action, ": ", std::strerror(error));
  if (error == ENOENT) return absl::NotFoundError(message);
  if (error == EACCES) return absl::PermissionDeniedError(message);
  return absl::ResourceExhaustedError(message);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ZipWriter>> ZipWriter::Create(
    const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "wbe");
  if (file == nullptr) return ErrnoStatus(path, "create");
  std::setvbuf(file, nullptr, _IOFBF, kBufferBytes);
  return std::unique_ptr<ZipWriter>(new ZipWriter(path, file));
}

absl::Status ZipWriter::Write(absl::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) {
    return ErrnoStatus(path_, "write");
  }
  offset_ += bytes.size();
  return absl::OkStatus();
}

absl::Status ZipWriter::BeginEntry(const std::string& name, uint64_t size) {
  entries_.push_back({name, offset_, size, 0});
  missing_ = size;
  // Marks the sizes as 64-bit; they follow the payload too.
  Record extra;
  if (size >= kIn64) {
    extra.Add<uint16_t>(1).Add<uint16_t>(16).Add<uint64_t>(0).Add<uint64_t>(0);
  }
  const uint64_t unpadded =
      offset_ + kLocalBytes + name.size() + extra.bytes().size() + kFieldHead;
  const uint64_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
  extra.Add(kPaddingField).Add(static_cast<uint16_t>(padding));
  extra.AddText(std::string(padding, 'Z'));
  const uint32_t size32 = size >= kIn64 ? kIn64 : 0;
  Record header;
  header.Add<uint32_t>(0x04034b50).Add<uint16_t>(size >= kIn64 ? 45 : 20);
  header.Add(kFlags).Add<uint16_t>(0).Add<uint32_t>(0).Add<uint32_t>(0);
  header.Add(size32).Add(size32);
  header.Add(static_cast<uint16_t>(name.size()));
  header.Add(static_cast<uint16_t>(extra.bytes().size()));
  header.AddText(name).AddText(extra.bytes());
  return Write(header.bytes());
}

absl::Status ZipWriter::Append(absl::string_view bytes) {
  if (bytes.size() > missing_) {
    return absl::InternalError(absl::StrCat(
        path_, ": entry ", entries_.back().name, " got too many bytes"));
  }
  missing_ -= bytes.size();
  entries_.back().crc = Crc32(bytes, entries_.back().crc);
  return Write(bytes);
}

absl::Status ZipWriter::EndEntry() {
  const Entry& entry = entries_.back();
  if (missing_ != 0) {
    return absl::InternalError(absl::StrCat(
        path_, ": entry ", entry.name, " got ", missing_, " bytes too few"));
  }
  Record descriptor;
  descriptor.Add<uint32_t>(0x08074b50).Add(entry.crc);
  if (entry.size >= kIn64) {
    descriptor.Add(entry.size).Add(entry.size);
  } else {
    descriptor.Add(Low(entry.size)).Add(Low(entry.size));
  }
  return Write(descriptor.bytes());
}

absl::Status ZipWriter::AddEntry(const std::string& name,
                                 absl::string_view bytes) {
  RETURN_IF_ERROR(BeginEntry(name, bytes.size()));
  RETURN_IF_ERROR(Append(bytes));
  return EndEntry();
}

absl::Status ZipWriter::Close() {
  const uint64_t begin = offset_;
  for (const Entry& entry : entries_) {
    Record extra, fields;
    if (entry.size >= kIn64) fields.Add(entry.size).Add(entry.size);
    if (entry.offset >= kIn64) fields.Add(entry.offset);
    if (!fields.bytes().empty()) {
      extra.Add<uint16_t>(1).Add(static_cast<uint16_t>(fields.bytes().size()));
      extra.AddText(fields.bytes());
    }
    Record line;
    line.Add<uint32_t>(0x02014b50).Add<uint16_t>(45).Add<uint16_t>(45);
    line.Add(kFlags).Add<uint16_t>(0).Add<uint32_t>(0).Add(entry.crc);
    line.Add(Low(entry.size)).Add(Low(entry.size));
    line.Add(static_cast<uint16_t>(entry.name.size()));
    line.Add(static_cast<uint16_t>(extra.bytes().size()));
    line.Add<uint16_t>(0).Add<uint16_t>(0).Add<uint16_t>(0).Add<uint32_t>(0);
    line.Add(Low(entry.offset)).AddText(entry.name).AddText(extra.bytes());
    RETURN_IF_ERROR(Write(line.bytes()));
  }
  const uint64_t end = offset_, count = entries_.size();
  Record tail;
  tail.Add<uint32_t>(0x06064b50).Add<uint64_t>(44).Add<uint16_t>(45);
  tail.Add<uint16_t>(45).Add<uint32_t>(0).Add<uint32_t>(0).Add(count);
  tail.Add(count).Add(end - begin).Add(begin);
  tail.Add<uint32_t>(0x07064b50).Add<uint32_t>(0).Add(end).Add<uint32_t>(1);
  const uint16_t count16 =
      count >= 0xffff ? 0xffff : static_cast<uint16_t>(count);
  tail.Add<uint32_t>(0x06054b50).Add<uint16_t>(0).Add<uint16_t>(0);
  tail.Add(count16).Add(count16).Add(Low(end - begin)).Add(Low(begin));
  tail.Add<uint16_t>(0);
  RETURN_IF_ERROR(Write(tail.bytes()));
  if (std::fclose(file_.release()) != 0) return ErrnoStatus(path_, "write");
  return absl::OkStatus();
}

}  // namespace moe

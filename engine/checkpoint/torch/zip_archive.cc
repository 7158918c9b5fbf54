#include "engine/checkpoint/torch/zip_archive.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/checkpoint/torch/byte_reader.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kCentralHeader = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50;
constexpr uint32_t kEnd64Locator = 0x07064b50;
constexpr size_t kEndBytes = 22;
constexpr size_t kLocatorBytes = 20;
constexpr size_t kCentralBytes = 46;
constexpr size_t kMaxComment = 0xffff;
constexpr uint16_t kZip64Field = 1;
constexpr uint32_t kIn64 = 0xffffffff;  // "see the ZIP64 field"

absl::Status Damaged(const std::string& path, absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat(path, ": damaged zip archive: ", what));
}

// As files do whose space was reserved before their bytes came.
bool EndsInZeros(absl::string_view bytes) {
  return bytes.substr(bytes.size() - kEndBytes).find_first_not_of('\0') ==
         absl::string_view::npos;
}

struct Directory {
  uint64_t offset = 0;
  uint64_t size = 0;
  uint64_t count = 0;
};

// The position of the central directory, from the record at the end of the
// file.
absl::StatusOr<Directory> FindDirectory(absl::string_view bytes,
                                        const std::string& path) {
  if (bytes.size() < kEndBytes) return Damaged(path, "shorter than 22 bytes");
  size_t end = bytes.size() - kEndBytes;
  const size_t lowest = end > kMaxComment ? end - kMaxComment : 0;
  uint16_t disk = 0, start_disk = 0, disk_count = 0, count16 = 0, comment = 0;
  uint32_t size32 = 0, offset32 = 0;
  for (;; --end) {
    ByteReader reader(bytes, end);
    uint32_t signature = 0;
    // Cannot fail: 22 bytes are there.
    reader.Read(&signature);
    reader.Read(&disk), reader.Read(&start_disk), reader.Read(&disk_count);
    reader.Read(&count16), reader.Read(&size32), reader.Read(&offset32);
    reader.Read(&comment);
    if (signature == kEnd && comment == reader.remaining()) break;
    if (end == lowest) {
      return Damaged(path, EndsInZeros(bytes)
                               ? "no end record: it ends in zeros, so that its "
                                 "copy or download was not finished"
                               : "no end record: it is cut short, or not a "
                                 "file of torch.save; copy it again");
    }
  }
  Directory directory = {offset32, size32, count16};
  const bool needs64 =
      count16 == 0xffff || size32 == kIn64 || offset32 == kIn64;
  uint64_t limit = end;  // the directory ends at or before this
  ByteReader locator(bytes, end >= kLocatorBytes ? end - kLocatorBytes : 0);
  uint32_t signature = 0, end64_disk = 0, disks = 0;
  uint64_t end64 = 0;
  locator.Read(&signature);
  if (end >= kLocatorBytes && signature == kEnd64Locator) {
    locator.Read(&end64_disk), locator.Read(&end64), locator.Read(&disks);
    if (end64 > end - kLocatorBytes) {
      return Damaged(path, "the ZIP64 end record lies outside the file");
    }
    ByteReader reader(bytes.substr(0, end), static_cast<size_t>(end64));
    uint64_t record_size, count_here;
    uint32_t disk_number, directory_disk;
    if (!reader.Read(&signature) || signature != kEnd64 ||
        !reader.Read(&record_size) || !reader.Skip(4) ||
        !reader.Read(&disk_number) || !reader.Read(&directory_disk) ||
        !reader.Read(&count_here) || !reader.Read(&directory.count) ||
        !reader.Read(&directory.size) || !reader.Read(&directory.offset)) {
      return Damaged(path, "bad ZIP64 end record");
    }
    if (disk_number != 0 || directory_disk != 0) {
      return Damaged(path, "it is split over several files");
    }
    limit = end64;
  } else if (needs64) {
    return Damaged(path, "no ZIP64 end record");
  }
  if (disk != 0 && disk != 0xffff) {
    return Damaged(path, "it is split over several files");
  }
  if (directory.offset > limit || directory.size > limit - directory.offset) {
    return Damaged(path, "the central directory lies outside the file");
  }
  if (directory.count > directory.size / kCentralBytes) {
    return Damaged(
        path, absl::StrCat("the central directory of ", directory.size,
                           " bytes cannot hold ", directory.count, " entries"));
  }
  return directory;
}

// One line of the central directory.
struct CentralEntry {
  absl::string_view name;
  uint32_t crc = 0;
  uint64_t size = 0;
  uint64_t header_offset = 0;
};

// Reads the fields that do not fit in 32 bits from the ZIP64 extra field.
bool ReadZip64(absl::string_view extra, bool wants_size, bool wants_stored,
               bool wants_offset, CentralEntry* entry, uint64_t* stored) {
  if (!wants_size && !wants_stored && !wants_offset) return true;
  ByteReader reader(extra);
  uint16_t id, length;
  absl::string_view data;
  while (reader.Read(&id) && reader.Read(&length) &&
         reader.ReadBytes(length, &data)) {
    if (id != kZip64Field) continue;
    ByteReader field(data);
    return (!wants_size || field.Read(&entry->size)) &&
           (!wants_stored || field.Read(stored)) &&
           (!wants_offset || field.Read(&entry->header_offset));
  }
  return false;
}

absl::StatusOr<CentralEntry> ReadCentralEntry(ByteReader& reader,
                                              const std::string& path) {
  const size_t at = reader.offset();
  CentralEntry entry;
  uint32_t signature, stored32, size32, external, offset32;
  uint16_t flags, method, name_length, extra_length, comment_length, disk;
  absl::string_view extra;
  if (!reader.Read(&signature) || signature != kCentralHeader ||
      !reader.Skip(4) || !reader.Read(&flags) || !reader.Read(&method) ||
      !reader.Skip(4) || !reader.Read(&entry.crc) || !reader.Read(&stored32) ||
      !reader.Read(&size32) || !reader.Read(&name_length) ||
      !reader.Read(&extra_length) || !reader.Read(&comment_length) ||
      !reader.Read(&disk) || !reader.Skip(2) || !reader.Read(&external) ||
      !reader.Read(&offset32) || !reader.ReadBytes(name_length, &entry.name) ||
      !reader.ReadBytes(extra_length, &extra) || !reader.Skip(comment_length)) {
    return Damaged(path, absl::StrCat("bad directory entry at byte ", at,
                                      " of the central directory"));
  }
  const std::string name = absl::CHexEscape(entry.name);
  if ((flags & 1) != 0) return Damaged(path, name + " is encrypted");
  if (method != 0) {
    return absl::DataLossError(absl::StrCat(
        path, ": a zip archive, but not as torch.save makes it: ", name,
        " in it is compressed (method ", method,
        "). If it is an archive of the checkpoint, unpack it; if a zip program "
        "packed the file again, take the original"));
  }
  uint64_t stored = stored32;
  entry.size = size32;
  entry.header_offset = offset32;
  if (!ReadZip64(extra, size32 == kIn64, stored32 == kIn64, offset32 == kIn64,
                 &entry, &stored)) {
    return Damaged(path, name + " has no complete ZIP64 field");
  }
  if (stored != entry.size) {
    return Damaged(path, absl::StrCat(name, " is stored in ", stored,
                                      " bytes but has ", entry.size));
  }
  return entry;
}

// The offset of the entry's payload, from the length of its local header.
absl::StatusOr<uint64_t> PayloadOffset(absl::string_view bytes,
                                       uint64_t directory_offset,
                                       const CentralEntry& entry,
                                       const std::string& path) {
  const std::string name = absl::CHexEscape(entry.name);
  if (entry.header_offset >= directory_offset) {
    return Damaged(path, name + " lies outside the file");
  }
  ByteReader reader(bytes.substr(0, static_cast<size_t>(directory_offset)),
                    static_cast<size_t>(entry.header_offset));
  uint32_t signature;
  uint16_t name_length, extra_length;
  absl::string_view local_name;
  if (!reader.Read(&signature) || signature != kLocalHeader ||
      !reader.Skip(22) || !reader.Read(&name_length) ||
      !reader.Read(&extra_length) ||
      !reader.ReadBytes(name_length, &local_name) || local_name != entry.name ||
      !reader.Skip(extra_length)) {
    return Damaged(path,
                   absl::StrCat(name, " has no valid local header at byte ",
                                entry.header_offset));
  }
  if (reader.remaining() < entry.size) {
    return Damaged(path, absl::StrCat(name, " has ", entry.size,
                                      " bytes, but the file ends after ",
                                      reader.remaining(), " of them"));
  }
  return reader.offset();
}

}  // namespace

bool ZipArchive::LooksLikeZip(absl::string_view bytes) {
  uint32_t signature = 0;
  return ByteReader(bytes).Read(&signature) && signature == kLocalHeader;
}

absl::StatusOr<ZipArchive> ZipArchive::Parse(absl::string_view bytes,
                                             const std::string& path) {
  ASSIGN_OR_RETURN(const Directory directory, FindDirectory(bytes, path));
  ByteReader reader(bytes.substr(static_cast<size_t>(directory.offset),
                                 static_cast<size_t>(directory.size)));
  ZipArchive archive;
  std::vector<std::pair<uint64_t, uint64_t>> extents;  // header begin, data end
  for (uint64_t i = 0; i < directory.count; ++i) {
    ASSIGN_OR_RETURN(const CentralEntry entry, ReadCentralEntry(reader, path));
    ASSIGN_OR_RETURN(const uint64_t offset,
                     PayloadOffset(bytes, directory.offset, entry, path));
    if (!archive.index_.emplace(entry.name, archive.entries_.size()).second) {
      return Damaged(path, absl::StrCat("two entries are named ",
                                        absl::CHexEscape(entry.name)));
    }
    archive.entries_.push_back({entry.name,
                                bytes.substr(static_cast<size_t>(offset),
                                             static_cast<size_t>(entry.size)),
                                entry.crc});
    extents.emplace_back(entry.header_offset, offset + entry.size);
  }
  std::sort(extents.begin(), extents.end());
  for (size_t i = 1; i < extents.size(); ++i) {
    if (extents[i].first < extents[i - 1].second) {
      return Damaged(
          path, absl::StrCat("entries overlap at byte ", extents[i].first));
    }
  }
  return archive;
}

const ZipEntry* ZipArchive::Find(absl::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

}  // namespace moe

#include "engine/checkpoint/torch_file.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/checkpoint/byte_reader.h"
#include "engine/checkpoint/crc32.h"
#include "engine/checkpoint/strided_copy.h"
#include "engine/checkpoint/unpickler.h"
#include "engine/checkpoint/zip_archive.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

using Kind = PickleValue::Kind;

// The first value of the old form: 0x1950a86a20f9469cfc6c.
constexpr absl::string_view kLegacyMagic(
    "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50"
    "\x19",
    10);
constexpr absl::string_view kLegacyStart("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46", 8);
constexpr absl::string_view kPickleSuffix = "/data.pkl";
// A storage is checksummed if at least this part of it is read.
constexpr size_t kMaxUnusedRatio = 4;

}  // namespace

absl::StatusOr<std::unique_ptr<TorchFile>> TorchFile::Open(
    const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::Open(path));
  std::unique_ptr<TorchFile> file(new TorchFile(std::move(mapped)));
  const absl::string_view bytes = file->file_.bytes();
  if (ZipArchive::LooksLikeZip(bytes)) {
    RETURN_IF_ERROR(file->ParseZip());
  } else if (absl::StartsWith(bytes, kLegacyStart)) {
    RETURN_IF_ERROR(file->ParseLegacy());
  } else {
    return absl::DataLossError(
        absl::StrCat(path, ": not a file of torch.save: it begins with bytes ",
                     absl::BytesToHexString(bytes.substr(0, 8)),
                     ", neither a zip archive nor PyTorch's old form"));
  }
  return file;
}

absl::Status TorchFile::AddStorage(absl::string_view key,
                                   absl::string_view bytes, uint32_t crc) {
  Storage& storage = storages_.emplace_back();
  storage.bytes = bytes;
  storage.crc = crc;
  if (!storage_of_.emplace(key, &storage).second) {
    return absl::DataLossError(absl::StrCat(
        path(), ": two storages have the key ", absl::CHexEscape(key)));
  }
  return absl::OkStatus();
}

absl::Status TorchFile::ParseZip() {
  ASSIGN_OR_RETURN(const ZipArchive archive,
                   ZipArchive::Parse(file_.bytes(), path()));
  const ZipEntry* pickle = nullptr;
  for (const ZipEntry& entry : archive.entries()) {
    if (!absl::EndsWith(entry.name, kPickleSuffix)) continue;
    if (pickle != nullptr) {
      return absl::DataLossError(
          absl::StrCat(path(), ": has more than one data.pkl"));
    }
    pickle = &entry;
  }
  if (pickle == nullptr) {
    return absl::DataLossError(
        absl::StrCat(path(),
                     ": a zip archive without data.pkl: not a file of "
                     "torch.save"));
  }
  const std::string source =
      absl::StrCat(path(), ": ", absl::CHexEscape(pickle->name.substr(0, 80)));
  if (pickle->crc != 0 && pickle->crc != Crc32(pickle->payload)) {
    return absl::DataLossError(
        absl::StrCat(source,
                     " does not match its checksum: the file is "
                     "damaged"));
  }
  const absl::string_view root =
      pickle->name.substr(0, pickle->name.size() - kPickleSuffix.size());
  if (const ZipEntry* order = archive.Find(absl::StrCat(root, "/byteorder"))) {
    if (order->payload != "little" && order->payload != "big") {
      return absl::DataLossError(
          absl::StrCat(path(), ": unknown byte order '",
                       absl::CHexEscape(order->payload.substr(0, 80)), "'"));
    }
    big_endian_ = order->payload == "big";
  }
  const std::string prefix = absl::StrCat(root, "/data/");
  for (const ZipEntry& entry : archive.entries()) {
    if (!absl::StartsWith(entry.name, prefix)) continue;
    RETURN_IF_ERROR(
        AddStorage(entry.name.substr(prefix.size()), entry.payload, entry.crc));
  }
  ASSIGN_OR_RETURN(const Unpickled unpickled,
                   Unpickle(pickle->payload, source, arena_));
  root_ = unpickled.value;
  return absl::OkStatus();
}

// Five pickles - magic, version, system, the object, the storage keys - then
// each storage: its element count and its bytes.
absl::Status TorchFile::ParseLegacy() {
  constexpr int kNumPickles = 5;
  absl::string_view rest = file_.bytes();
  const PickleValue* values[kNumPickles];
  for (const PickleValue*& value : values) {
    ASSIGN_OR_RETURN(const Unpickled unpickled,
                     Unpickle(rest, path(), arena_,
                              UnpicklerLimits{.max_bytes = rest.size()}));
    value = unpickled.value;
    rest.remove_prefix(unpickled.num_bytes);
  }
  if (!values[0]->is(Kind::kBigInt) || values[0]->text != kLegacyMagic ||
      !values[2]->is(Kind::kDict) || !values[4]->is(Kind::kList)) {
    return absl::DataLossError(
        absl::StrCat(path(), ": damaged file of PyTorch's old form"));
  }
  root_ = values[3];
  const PickleValue* little = values[2]->Find("little_endian");
  big_endian_ = little != nullptr && little->AsBool() == false;
  absl::flat_hash_map<absl::string_view, DType> dtypes;
  for (const PickleValue& value : arena_.values) {
    if (value.is(Kind::kStorage)) dtypes.emplace(value.text, value.dtype);
  }
  ByteReader reader(rest);
  for (const PickleValue* key : values[4]->items) {
    const auto dtype = dtypes.find(key->text);
    uint64_t count;
    absl::string_view bytes;
    if (!key->is(Kind::kString) || dtype == dtypes.end() ||
        !reader.Read(&count) ||
        count > reader.remaining() / SizeOf(dtype->second) ||
        !reader.ReadBytes(count * SizeOf(dtype->second), &bytes)) {
      return absl::DataLossError(absl::StrCat(
          path(), ": storage ", key->ToString(), " is missing or cut short"));
    }
    RETURN_IF_ERROR(AddStorage(key->text, bytes, /*crc=*/0));
  }
  return absl::OkStatus();
}

absl::Status TorchFile::Damaged(absl::string_view name,
                                absl::string_view what) const {
  return absl::DataLossError(
      absl::StrCat(path(), ": tensor ", name, ": ", what));
}

void TorchFile::Announce(const PickleValue& tensor) {
  const absl::StatusOr<const Storage*> found = FindStorage(tensor, "");
  if (!found.ok()) return;  // Read() will say so
  int64_t num_bytes = static_cast<int64_t>(SizeOf(tensor.dtype));
  for (int64_t dim : tensor.dims) {
    if (__builtin_mul_overflow(num_bytes, dim, &num_bytes)) return;
  }
  const_cast<Storage*>(*found)->used_bytes += static_cast<size_t>(num_bytes);
}

absl::StatusOr<const TorchFile::Storage*> TorchFile::FindStorage(
    const PickleValue& tensor, absl::string_view name) const {
  const PickleValue& description = *tensor.items[0];
  const auto found = storage_of_.find(description.text);
  if (found == storage_of_.end()) {
    return Damaged(
        name, absl::StrCat("its storage '",
                           absl::CHexEscape(description.text.substr(0, 80)),
                           "' is not in the file"));
  }
  const uint64_t in_file =
      found->second->bytes.size() / SizeOf(description.dtype);
  if (static_cast<uint64_t>(description.storage_begin) > in_file ||
      static_cast<uint64_t>(description.integer) >
          in_file - static_cast<uint64_t>(description.storage_begin)) {
    return Damaged(name,
                   absl::StrCat("its storage should have ", description.integer,
                                " elements, the "
                                "file has ",
                                in_file));
  }
  return found->second;
}

absl::Status TorchFile::Verify(const Storage& storage,
                               absl::string_view name) const {
  Checksum state = storage.checksum.load(std::memory_order_relaxed);
  if (state == Checksum::kUnknown) {
    const bool skip =
        storage.crc == 0 ||
        storage.used_bytes < storage.bytes.size() / kMaxUnusedRatio;
    // Two threads may both compute it; they find the same.
    state = skip || Crc32(storage.bytes) == storage.crc ? Checksum::kGood
                                                        : Checksum::kBad;
    storage.checksum.store(state, std::memory_order_relaxed);
  }
  if (state == Checksum::kBad) {
    return Damaged(name,
                   "its bytes do not match their checksum: the file is "
                   "damaged");
  }
  return absl::OkStatus();
}

absl::StatusOr<HostWeight> TorchFile::Read(const PickleValue& tensor,
                                           absl::string_view name) const {
  if (!tensor.is(Kind::kTensor)) {
    return Damaged(name, absl::StrCat("is a ", tensor.ToString()));
  }
  ASSIGN_OR_RETURN(const Storage* storage, FindStorage(tensor, name));
  const PickleValue& description = *tensor.items[0];
  const size_t size = SizeOf(tensor.dtype);
  const absl::string_view elements = storage->bytes.substr(
      static_cast<size_t>(description.storage_begin) * size,
      static_cast<size_t>(description.integer) * size);
  absl::StatusOr<HostWeight> weight =
      ReadStrided(elements, tensor.dtype, tensor.integer, tensor.dims,
                  tensor.strides, big_endian_);
  if (weight.status().code() == absl::StatusCode::kDataLoss) {
    return Damaged(name, weight.status().message());
  }
  RETURN_IF_ERROR(weight.status());
  RETURN_IF_ERROR(Verify(*storage, name));
  return weight;
}

}  // namespace moe

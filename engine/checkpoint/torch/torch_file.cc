#include "engine/checkpoint/torch/torch_file.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/checkpoint/torch/byte_reader.h"
#include "engine/checkpoint/torch/crc32.h"
#include "engine/checkpoint/torch/state_dict.h"
#include "engine/checkpoint/torch/strided_copy.h"
#include "engine/checkpoint/torch/unpickler.h"
#include "engine/checkpoint/torch/zip_archive.h"
#include "kernels/core/file_kind.h"
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

constexpr size_t kMaxNamedEntries = 3;

std::string NamesOf(const std::vector<ZipEntry>& entries) {
  std::vector<std::string> names;
  for (const ZipEntry& entry : entries) {
    if (names.size() == kMaxNamedEntries) {
      names.push_back("...");
      break;
    }
    names.push_back(absl::CHexEscape(entry.name.substr(0, 80)));
  }
  return names.empty() ? "nothing" : absl::StrJoin(names, ", ");
}

}  // namespace

absl::string_view TorchFile::Elements(const TorchStorage& storage,
                                      const PickleValue& tensor) {
  const PickleValue& description = *tensor.items[0];
  const size_t size = SizeOf(tensor.dtype);
  return storage.bytes().substr(
      static_cast<size_t>(description.storage_begin) * size,
      static_cast<size_t>(description.integer) * size);
}

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
    return absl::DataLossError(absl::StrCat(
        path, ": not a file of torch.save: it is ", DescribeBytes(bytes)));
  }
  return file;
}

absl::Status TorchFile::AddStorage(absl::string_view key,
                                   absl::string_view bytes, uint32_t crc) {
  TorchStorage& storage = storages_.emplace_back(bytes, crc);
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
                     "torch.save; it holds ",
                     NamesOf(archive.entries())));
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
  bytes_read_ += static_cast<int64_t>(unpickled.num_bytes);
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
    bytes_read_ += static_cast<int64_t>(unpickled.num_bytes);
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

void TorchFile::Prefetch(absl::string_view from, int64_t run_bytes,
                         int64_t step_bytes, int64_t num_runs) const {
  if (run_bytes <= 0 || step_bytes < 0 || num_runs <= 0) return;
  file_.Prefetch(static_cast<size_t>(from.data() - file_.bytes().data()),
                 static_cast<size_t>(run_bytes),
                 static_cast<size_t>(step_bytes),
                 static_cast<size_t>(num_runs));
}

absl::Status TorchFile::Damaged(absl::string_view name,
                                absl::string_view what) const {
  return absl::DataLossError(
      absl::StrCat(path(), ": tensor ", name, ": ", what));
}

absl::Status TorchFile::ListTensors(const PickleValue& state) {
  ASSIGN_OR_RETURN(std::vector<NamedTensor> named,
                   FlattenStateDict(state, path()));
  infos_.clear();
  values_.clear();
  for (NamedTensor& entry : named) {
    infos_.push_back(
        {std::move(entry.key), entry.tensor->dtype, entry.tensor->dims});
    values_.push_back(entry.tensor);
  }
  return absl::OkStatus();
}

void TorchFile::Announce(size_t index, absl::string_view name) {
  const PickleValue& tensor = *values_[index];
  const absl::StatusOr<TorchStorage*> found = FindStorage(tensor, name);
  if (!found.ok()) return;  // Read() returns the error
  int64_t num_bytes = static_cast<int64_t>(SizeOf(tensor.dtype));
  for (int64_t dim : tensor.dims) {
    if (__builtin_mul_overflow(num_bytes, dim, &num_bytes)) return;
  }
  (*found)->Announce(static_cast<size_t>(num_bytes), name);
}

absl::StatusOr<TorchStorage*> TorchFile::FindStorage(
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
      found->second->bytes().size() / SizeOf(description.dtype);
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

absl::Status TorchFile::Verify(const TorchStorage& storage,
                               absl::string_view name) const {
  if (storage.Verify(bytes_read_)) return absl::OkStatus();
  return Damaged(name,
                 "its bytes do not match their checksum: the file is damaged");
}

absl::StatusOr<HostWeight> TorchFile::Read(size_t index,
                                           absl::string_view name) const {
  const PickleValue& tensor = *values_[index];
  ASSIGN_OR_RETURN(const TorchStorage* storage, FindStorage(tensor, name));
  if (storage->is_unread()) {
    Prefetch(storage->bytes(), storage->bytes().size(), 0, 1);
  }
  absl::StatusOr<HostWeight> weight =
      ReadStrided(Elements(*storage, tensor), tensor.dtype, tensor.integer,
                  tensor.dims, tensor.strides, big_endian_);
  if (weight.status().code() == absl::StatusCode::kDataLoss) {
    return Damaged(name, weight.status().message());
  }
  RETURN_IF_ERROR(weight.status());
  const int64_t before = bytes_read();
  RETURN_IF_ERROR(Verify(*storage, name));
  if (bytes_read() == before) {  // else they include the tensor's
    bytes_read_ += weight->view.num_elements() *
                   static_cast<int64_t>(SizeOf(tensor.dtype));
  }
  return weight;
}

absl::Status TorchFile::CheckBounds(size_t index,
                                    absl::string_view name) const {
  const PickleValue& tensor = *values_[index];
  ASSIGN_OR_RETURN(const TorchStorage* storage, FindStorage(tensor, name));
  const int64_t in_storage = static_cast<int64_t>(
      Elements(*storage, tensor).size() / SizeOf(tensor.dtype));
  const absl::Status status =
      CheckStrided(in_storage, tensor.integer, tensor.dims, tensor.strides);
  if (!status.ok()) return Damaged(name, status.message());
  if (tensor.dims.empty() || tensor.dims.size() > 2) {
    return Damaged(name, absl::StrCat("has ", tensor.dims.size(),
                                      " dimensions, a weight has 1 or 2"));
  }
  int64_t count = 1;
  for (const int64_t dim : tensor.dims) count *= dim;
  if (count > in_storage) {
    return Damaged(name, absl::StrCat("has ", count, " elements, its storage ",
                                      in_storage));
  }
  return absl::OkStatus();
}

absl::StatusOr<HostWeight> TorchFile::ReadWindow(size_t index,
                                                 absl::string_view name,
                                                 const IndexRange& rows,
                                                 const IndexRange& columns,
                                                 bool sum) const {
  const PickleValue& tensor = *values_[index];
  ASSIGN_OR_RETURN(const TorchStorage* storage, FindStorage(tensor, name));
  const int64_t size = static_cast<int64_t>(SizeOf(tensor.dtype));
  const bool matrix = tensor.dims.size() == 2;
  const int64_t row_step = tensor.strides[0];
  const int64_t column_step = matrix ? tensor.strides[1] : 1;
  const int64_t dims[] = {rows.size(), columns.size()};
  int64_t first = tensor.integer + rows.begin * row_step;
  if (matrix) first += columns.begin * column_step;
  // Runs of bytes that are read; one for each row if there are gaps.
  const int64_t width = matrix ? dims[1] : 1;
  const bool has_runs = width <= 1 || column_step == 1;
  const bool one_run = row_step == width;
  const int64_t run_bytes = (one_run ? rows.size() * width : width) * size;
  const int64_t num_runs = one_run ? 1 : rows.size();
  // (The stride of a single row may be any number.)
  const int64_t step_bytes = num_runs > 1 ? row_step * size : 0;
  const int64_t first_byte = (tensor.items[0]->storage_begin + first) * size;
  if (has_runs && first_byte >= 0 &&
      first_byte < static_cast<int64_t>(storage->bytes().size())) {
    Prefetch(storage->bytes().substr(static_cast<size_t>(first_byte)),
             run_bytes, step_bytes, num_runs);
  }
  absl::StatusOr<HostWeight> weight = ReadStrided(
      Elements(*storage, tensor), tensor.dtype, first,
      absl::MakeConstSpan(dims, matrix ? 2 : 1), tensor.strides, big_endian_);
  if (weight.status().code() == absl::StatusCode::kDataLoss) {
    return Damaged(name, weight.status().message());
  }
  RETURN_IF_ERROR(weight.status());
  const int64_t bytes = weight->view.num_elements() * size;
  bytes_read_ += bytes;
  // A storage without runs is read as a whole later.
  if (sum && has_runs && bytes > 0) {
    storage->AddRuns(first_byte, run_bytes, step_bytes, num_runs);
  }
  return weight;
}

std::string TorchFile::Fingerprint(size_t index) const {
  const PickleValue& tensor = *values_[index];
  const absl::StatusOr<TorchStorage*> storage = FindStorage(tensor, "");
  if (!storage.ok() || (*storage)->crc() == 0) return "";
  return absl::StrCat((*storage)->crc(), " of ", (*storage)->bytes().size(),
                      big_endian_ ? " swapped " : " ", DTypeName(tensor.dtype),
                      " [", absl::StrJoin(tensor.dims, ","), "] by [",
                      absl::StrJoin(tensor.strides, ","), "] at ",
                      tensor.items[0]->storage_begin, "+", tensor.integer);
}

std::vector<PartialChecksum> TorchFile::TakePartialChecksums() const {
  std::vector<PartialChecksum> sums;
  for (size_t i = 0; i < storages_.size(); ++i) {
    const auto sum = storages_[i].TakePartialChecksum(static_cast<int64_t>(i));
    if (sum.has_value()) sums.push_back(*sum);
  }
  return sums;
}

absl::Status TorchFile::CheckPartialChecksum(const PartialChecksum& merged,
                                             bool read_all) const {
  if (merged.storage < 0 ||
      merged.storage >= static_cast<int64_t>(storages_.size())) {
    return absl::InvalidArgumentError(absl::StrCat(
        path(), ": a checksum of storage ", merged.storage, ", of ",
        storages_.size(), ": the ranks see different files"));
  }
  const TorchStorage& storage = storages_[static_cast<size_t>(merged.storage)];
  // Otherwise it was read in part, or some bytes twice, or it is damaged.
  if (storage.Accept(merged) || !read_all) return absl::OkStatus();
  return Verify(storage, storage.name());
}

}  // namespace moe

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/host_weight.h"
#include "engine/checkpoint/partial_checksum.h"
#include "engine/config/index_range.h"
#include "kernels/core/dtype.h"

namespace moe {

// A file's metadata of a tensor.
struct TensorInfo {
  std::string name;  // in the file
  DType dtype = DType::kF32;
  std::vector<int64_t> dims;
};

// A file of named tensors, of any container format. Independent of models: its
// callers map tensors to weights. Tensors are identified by their index in
// tensors(); `name` is for messages. Thread-safe except Announce.
class TensorFile {
 public:
  virtual ~TensorFile() = default;

  virtual const std::string& path() const = 0;
  virtual const std::vector<TensorInfo>& tensors() const = 0;

  // Announces that a tensor will be read. A storage of which only a small part
  // is announced is not verified. Call it before any read.
  virtual void Announce(size_t tensor, absl::string_view name) = 0;

  // The values, row-major: a view into the file if possible, else a copy.
  // Checks the bounds and, on the first use of a storage, its checksum.
  // kDataLoss names the file, `name` and the problem.
  virtual absl::StatusOr<HostWeight> Read(size_t tensor,
                                          absl::string_view name) const = 0;

  // Checks the bounds of a matrix or vector like Read. Reads no values.
  virtual absl::Status CheckBounds(size_t tensor,
                                   absl::string_view name) const = 0;

  // Like Read, for `rows` and, for a matrix, `columns` of a tensor that passed
  // CheckBounds; reads no other bytes. Does not verify the checksum; with
  // `sum`, TakePartialChecksums includes these bytes.
  virtual absl::StatusOr<HostWeight> ReadWindow(size_t tensor,
                                                absl::string_view name,
                                                const IndexRange& rows,
                                                const IndexRange& columns,
                                                bool sum) const = 0;

  // A fingerprint of a tensor's values: tensors with equal, non-empty
  // fingerprints have equal values unless a file is damaged. Reads no values;
  // "" if there are no checksums.
  virtual std::string Fingerprint(size_t tensor) const = 0;

  // See Checkpoint; storages are numbered in the order of the file.
  virtual std::vector<PartialChecksum> TakePartialChecksums() const = 0;
  // `read_all`: read the storage if `merged` is not all of it.
  virtual absl::Status CheckPartialChecksum(const PartialChecksum& merged,
                                            bool read_all) const = 0;

  // Bytes of metadata, tensors and checksummed storages read so far.
  virtual int64_t bytes_read() const = 0;
};

}  // namespace moe

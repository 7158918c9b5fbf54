#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace moe {

// What a byte-level BPE model is made of, as files write it.
struct BpeModelSpec {
  // Written in the byte alphabet (byte_alphabet.h).
  std::vector<std::pair<std::string, int32_t>> vocab;
  // By rank: the first is applied first. Both sides in the byte alphabet.
  std::vector<std::pair<std::string, std::string>> merges;
  // Stands for bytes that the vocabulary lacks; none: they are an error.
  std::optional<std::string> unk_token;
  bool fuse_unk = false;       // one unk_token for several such bytes in a row
  bool ignore_merges = false;  // pieces that are tokens are taken whole
};

struct BpeSymbol {
  int32_t id;
  int32_t num_bytes;
};

// Byte-pair encoding of pieces of bytes: starts from single bytes and applies
// the merge of the lowest rank, the leftmost first, until none applies.
// Immutable, so safe to share by threads.
class BpeModel {
 public:
  // kInvalidArgument naming the entry: ids out of [0, 2^24) or used twice,
  // merges whose sides or result are not in the vocabulary.
  static absl::StatusOr<BpeModel> Create(const BpeModelSpec& spec);

  // Appends the symbols of `piece` to `symbols`; their num_bytes add up to
  // its size. O(n log n) in the bytes of the piece. kInvalidArgument if a byte
  // is not in the vocabulary and there is no unk_token.
  absl::Status Encode(absl::string_view piece,
                      std::vector<BpeSymbol>* symbols) const;

  // The bytes of each id; empty where the id is unused.
  const std::vector<std::string>& token_bytes() const { return token_bytes_; }

  // The id of a vocabulary entry as written, e.g. "<|endoftext|>"; -1: none.
  int32_t FindEntry(absl::string_view entry) const;

 private:
  struct Merge {
    int32_t rank;
    int32_t merged_id;
  };

  BpeModel() = default;
  absl::Status AddVocab(const BpeModelSpec& spec);
  absl::Status AddMerges(const BpeModelSpec& spec);
  const Merge* FindMerge(int32_t left, int32_t right) const;

  absl::flat_hash_map<std::string, int32_t> entries_;  // as written
  absl::flat_hash_map<std::string, int32_t> id_of_bytes_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // left id, right id
  std::vector<std::string> token_bytes_;
  std::vector<int32_t> byte_ids_;  // [256], -1: none
  int32_t unk_id_ = -1;
  bool fuse_unk_ = false;
  bool ignore_merges_ = false;
};

}  // namespace moe

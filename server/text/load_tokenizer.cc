#include "server/text/load_tokenizer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/core/file_kind.h"
#include "kernels/core/status_macros.h"
#include "server/text/bpe_tokenizer.h"
#include "server/text/tokenizer_json.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

// The largest known tokenizer.json has about 35 MB.
constexpr uintmax_t kMaxFileBytes = 256u << 20;
constexpr size_t kMaxNamedEntries = 5;  // of a directory

// True too for what cannot be read: ReadFile then says why.
bool IsThere(const fs::path& path) {
  std::error_code ignored;
  return fs::symlink_status(path, ignored).type() != fs::file_type::not_found;
}

absl::Status Annotate(const fs::path& path, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(path.string(), ": ", status.message()));
}

absl::StatusOr<std::string> ReadFile(const fs::path& path) {
  const auto text = [&path](const auto&... parts) {
    return absl::StrCat(path.string(), ": ", parts...);
  };
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (error == std::errc::permission_denied) {
    return absl::PermissionDeniedError(text(error.message(), PermissionHint()));
  }
  if (!fs::is_regular_file(status)) {
    return absl::NotFoundError(
        IsThere(path) ? text("is ", DescribePath(path), ", not a file")
                      : text("there is no such file"));
  }
  const uintmax_t size = fs::file_size(path, error);
  if (error) return absl::NotFoundError(text(error.message()));
  if (size > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        text("has ", size, " bytes; a tokenizer's file has at most ",
             kMaxFileBytes));
  }
  std::string content(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.is_open() && errno == EACCES) {
    return absl::PermissionDeniedError(
        text(std::strerror(errno), PermissionHint()));
  }
  if (!file.read(content.data(), static_cast<std::streamsize>(size))) {
    return absl::UnavailableError(text(std::strerror(errno)));
  }
  if (!IsOrdinaryText(content)) {
    return absl::InvalidArgumentError(
        text("not a tokenizer's file: it is ", DescribeBytes(content)));
  }
  return content;
}

void AddUnique(int32_t id, std::vector<int32_t>* ids) {
  if (std::find(ids->begin(), ids->end(), id) == ids->end()) {
    ids->push_back(id);
  }
}

// Adds the end-of-text token of the config file `path`, if it exists.
// `is_token`: read eos_token, else eos_token_id.
absl::Status AddEndOfText(const fs::path& path, bool is_token,
                          BpeTokenizerSpec* spec) {
  if (!IsThere(path)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  const absl::StatusOr<EndOfText> end = ParseEndOfText(content);
  if (!end.ok()) return Annotate(path, end.status());
  if (!is_token) {
    for (const int32_t id : end->ids) AddUnique(id, &spec->eos_ids);
    return absl::OkStatus();
  }
  if (!end->token) return absl::OkStatus();
  for (const AddedToken& token : spec->added_tokens) {
    if (token.content != *end->token) continue;
    AddUnique(token.id, &spec->eos_ids);
    return absl::OkStatus();
  }
  for (const auto& [entry, id] : spec->model.vocab) {
    if (entry != *end->token) continue;
    AddUnique(id, &spec->eos_ids);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path.string(), ": eos_token \"", *end->token,
                   "\" is not in the vocabulary"));
}

absl::Status FindEndOfText(const fs::path& directory, BpeTokenizerSpec* spec) {
  RETURN_IF_ERROR(
      AddEndOfText(directory / "tokenizer_config.json", true, spec));
  RETURN_IF_ERROR(
      AddEndOfText(directory / "generation_config.json", false, spec));
  if (!spec->eos_ids.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(AddEndOfText(directory / "config.json", false, spec));
  if (!spec->eos_ids.empty()) return absl::OkStatus();
  for (const char* name :
       {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"}) {
    for (const AddedToken& token : spec->added_tokens) {
      if (!token.special || token.content != name) continue;
      spec->eos_ids.push_back(token.id);
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Finish(const fs::path& path,
                                                  BpeTokenizerSpec spec) {
  RETURN_IF_ERROR(FindEndOfText(path.parent_path(), &spec));
  absl::StatusOr<std::unique_ptr<BpeTokenizer>> tokenizer =
      BpeTokenizer::Create(std::move(spec));
  if (!tokenizer.ok()) return Annotate(path, tokenizer.status());
  return *std::move(tokenizer);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizerJson(
    const fs::path& path) {
  ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  absl::StatusOr<BpeTokenizerSpec> spec = ParseTokenizerJson(content);
  if (!spec.ok()) return Annotate(path, spec.status());
  return Finish(path, *std::move(spec));
}

// "but a, b, c" of a directory without a tokenizer.
std::string DescribeEntries(const fs::path& directory) {
  for (const char* name :
       {"tokenizer.model", "spiece.model", "sentencepiece.bpe.model"}) {
    if (!IsThere(directory / name)) continue;
    return absl::StrCat("but ", name, ", a model of SentencePiece, which is ",
                        "not read: convert it to a byte-level tokenizer.json");
  }
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entries(directory, error);
       !error && entries != fs::directory_iterator();
       entries.increment(error)) {
    names.push_back(absl::CHexEscape(entries->path().filename().string()));
  }
  std::sort(names.begin(), names.end());
  if (names.size() > kMaxNamedEntries) {
    names.resize(kMaxNamedEntries);
    names.push_back("...");
  }
  return names.empty() ? "and is empty"
                       : absl::StrCat("but ", absl::StrJoin(names, ", "));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(
    const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return LoadTokenizerJson(path);
  const fs::path directory = path;
  if (IsThere(directory / "tokenizer.json")) {
    return LoadTokenizerJson(directory / "tokenizer.json");
  }
  for (const char* vocab : {"vocab.json", "encoder.json"}) {
    for (const char* merges : {"merges.txt", "vocab.bpe"}) {
      if (IsThere(directory / vocab) && IsThere(directory / merges)) {
        return LoadGpt2Tokenizer((directory / vocab).string(),
                                 (directory / merges).string());
      }
    }
  }
  return absl::NotFoundError(absl::StrCat(
      path, " holds neither tokenizer.json nor vocab.json with merges.txt, ",
      DescribeEntries(directory)));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadGpt2Tokenizer(
    const std::string& vocab_path, const std::string& merges_path) {
  ASSIGN_OR_RETURN(const std::string vocab, ReadFile(vocab_path));
  ASSIGN_OR_RETURN(const std::string merges, ReadFile(merges_path));
  absl::StatusOr<BpeTokenizerSpec> spec = ParseGpt2Files(vocab, merges);
  if (!spec.ok()) {
    return Annotate(absl::StrCat(vocab_path, " with ", merges_path),
                    spec.status());
  }
  return Finish(vocab_path, *std::move(spec));
}

}  // namespace moe

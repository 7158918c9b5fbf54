#include "server/text/bpe_tokenizer.h"

#include <algorithm>
#include <limits>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"
#include "server/text/stop_signal.h"
#include "server/text/utf8.h"

namespace moe {
namespace {

constexpr int32_t kMaxVocab = 1 << 24;

absl::Status CheckIds(const Tokenizer& tokenizer, absl::string_view name,
                      const std::vector<int32_t>& ids) {
  for (const int32_t id : ids) {
    if (tokenizer.IsToken(id)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(name, " has id ", id, ", which is no token"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<BpeTokenizer>> BpeTokenizer::Create(
    BpeTokenizerSpec spec) {
  ASSIGN_OR_RETURN(BpeModel model, BpeModel::Create(spec.model));
  ASSIGN_OR_RETURN(Pretokenizer pretokenizer,
                   Pretokenizer::Create(std::move(spec.pretokenizer)));
  std::unique_ptr<BpeTokenizer> result(
      new BpeTokenizer(std::move(model), std::move(pretokenizer)));
  result->normalization_ = spec.normalization;
  RETURN_IF_ERROR(result->AddTokens(spec));
  RETURN_IF_ERROR(CheckIds(*result, "the post-processor", spec.prefix_ids));
  RETURN_IF_ERROR(CheckIds(*result, "the post-processor", spec.suffix_ids));
  RETURN_IF_ERROR(CheckIds(*result, "the end-of-text list", spec.eos_ids));
  result->prefix_ids_ = std::move(spec.prefix_ids);
  result->suffix_ids_ = std::move(spec.suffix_ids);
  result->eos_ids_ = std::move(spec.eos_ids);
  return result;
}

absl::Status BpeTokenizer::AddTokens(const BpeTokenizerSpec& spec) {
  const std::vector<std::string>& model_tokens = model_.token_bytes();
  tokens_.resize(model_tokens.size());
  for (size_t id = 0; id < model_tokens.size(); ++id) {
    tokens_[id] = {model_tokens[id], !model_tokens[id].empty(), false};
  }
  std::vector<AddedToken> raw;
  std::vector<AddedToken> normalized;
  for (AddedToken token : spec.added_tokens) {
    const std::string name =
        absl::StrCat("added token \"", absl::CEscape(token.content), "\"");
    if (token.content.empty() ||
        FindInvalidUtf8(token.content) != absl::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " must be non-empty UTF-8"));
    }
    if (token.id < 0 || token.id >= kMaxVocab) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, " has id ", token.id, "; ids go from 0 to ", kMaxVocab - 1));
    }
    const int32_t model_id = model_.FindEntry(token.content);
    if (model_id >= 0 && model_id != token.id) {
      return absl::InvalidArgumentError(absl::StrCat(name, " has id ", token.id,
                                                     ", but id ", model_id,
                                                     " in the vocabulary"));
    }
    if (token.id >= vocab_size()) tokens_.resize(token.id + 1);
    Token& entry = tokens_[token.id];
    if (entry.exists && model_id != token.id && entry.bytes != token.content) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " has id ", token.id, ", which is \"",
                       absl::CEscape(entry.bytes), "\" already"));
    }
    entry = {token.content, true, token.special};
    if (token.special) {
      special_tokens_.push_back({token.id, token.content});
      // Only AddedTokenMatcher finds it: plain text must not become it.
      model_.TakeFromWholePieces(token.id);
    }
    if (token.normalized) {
      ASSIGN_OR_RETURN(const NormalizedText text,
                       Normalize(token.content, normalization_));
      token.content = text.text();
      normalized.push_back(std::move(token));
    } else {
      raw.push_back(std::move(token));
    }
  }
  std::sort(
      special_tokens_.begin(), special_tokens_.end(),
      [](const SpecialToken& a, const SpecialToken& b) { return a.id < b.id; });
  raw_matcher_.emplace(std::move(raw));
  normalized_matcher_.emplace(std::move(normalized));
  return absl::OkStatus();
}

absl::StatusOr<Encoding> BpeTokenizer::Encode(
    absl::string_view text, const EncodeOptions& options) const {
  if (text.size() >= std::numeric_limits<int32_t>::max() / 4) {
    return absl::InvalidArgumentError(
        absl::StrCat("a text of ", text.size(), " bytes is too long"));
  }
  if (const size_t at = FindInvalidUtf8(text); at != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("the text is not valid UTF-8 at byte ", at));
  }
  Encoding encoding;
  std::vector<ByteSpan>* offsets =
      options.return_offsets ? &encoding.offsets : nullptr;
  const auto add = [&](int32_t id, ByteSpan span) {
    encoding.ids.push_back(id);
    if (offsets != nullptr) offsets->push_back(span);
  };

  if (options.add_special_tokens) {
    for (const int32_t id : prefix_ids_) add(id, {0, 0});
  }
  for (const TextSegment& segment :
       raw_matcher_->Split(text, options.parse_special_tokens)) {
    if (segment.id >= 0) {
      add(segment.id, {segment.begin, segment.end});
      continue;
    }
    ASSIGN_OR_RETURN(
        const NormalizedText normalized,
        Normalize(text.substr(segment.begin, segment.end - segment.begin),
                  normalization_));
    std::vector<ByteSpan> spans;  // in `normalized`
    for (const TextSegment& part : normalized_matcher_->Split(
             normalized.text(), options.parse_special_tokens)) {
      if (part.id >= 0) {
        encoding.ids.push_back(part.id);
        spans.push_back({part.begin, part.end});
      } else {
        RETURN_IF_ERROR(EncodeWords(normalized.text(), part.begin, part.end,
                                    options.stop, &encoding.ids, &spans,
                                    &encoding.num_dropped_bytes));
      }
    }
    if (offsets == nullptr) continue;
    for (const ByteSpan& span : spans) {
      const ByteSpan source = normalized.ToSource(span);
      offsets->push_back(
          {segment.begin + source.begin, segment.begin + source.end});
    }
  }
  if (options.add_special_tokens) {
    for (const int32_t id : suffix_ids_) add(id, {0, 0});
  }
  return encoding;
}

absl::Status BpeTokenizer::EncodeWords(absl::string_view text, int64_t begin,
                                       int64_t end, StopSignal* stop,
                                       std::vector<int32_t>* ids,
                                       std::vector<ByteSpan>* offsets,
                                       int64_t* num_dropped_bytes) const {
  std::vector<Pretoken> words;
  RETURN_IF_ERROR(pretokenizer_.Split(text, begin, end, &words, stop));
  std::vector<BpeSymbol> symbols;
  for (const Pretoken& word : words) {
    RETURN_IF_ERROR(StopSignal::Check(stop));
    const absl::string_view bytes =
        text.substr(word.begin, word.end - word.begin);
    symbols.clear();
    const std::string prefixed =
        word.prefix_space ? absl::StrCat(" ", bytes) : "";
    RETURN_IF_ERROR(model_.Encode(word.prefix_space ? prefixed : bytes,
                                  &symbols, stop, num_dropped_bytes));
    int64_t at = word.begin - (word.prefix_space ? 1 : 0);
    for (const BpeSymbol& symbol : symbols) {
      ids->push_back(symbol.id);
      // The prefix space is not part of the text.
      offsets->push_back({std::max(at, word.begin), at + symbol.num_bytes});
      at += symbol.num_bytes;
    }
  }
  return absl::OkStatus();
}

absl::string_view BpeTokenizer::TokenBytes(int32_t id) const {
  return IsToken(id) ? absl::string_view(tokens_[id].bytes)
                     : absl::string_view();
}

bool BpeTokenizer::IsToken(int32_t id) const {
  return id >= 0 && id < vocab_size() && tokens_[id].exists;
}

bool BpeTokenizer::IsSpecial(int32_t id) const {
  return IsToken(id) && tokens_[id].special;
}

}  // namespace moe

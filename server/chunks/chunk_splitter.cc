#include "server/chunks/chunk_splitter.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace moe {
namespace {

// Bytes of a part beside what is counted: the tags and lengths of its messages,
// its index and its usage.
constexpr int64_t kPartOverhead = 64;
// Tag and length of an entry or a text.
constexpr int64_t kFieldOverhead = 8;
// A shorter piece of a text starts the next part instead.
constexpr int64_t kMinTextBytes = 1024;

// The parts of one chunk.
class Parts {
 public:
  explicit Parts(int64_t max_bytes) : max_bytes_(max_bytes - kPartOverhead) {
    parts_.emplace_back();
  }

  // The part that has room for so many bytes, which now count.
  v1::GenerateChunk& For(int64_t num_bytes) {
    num_bytes += kFieldOverhead;
    if (used_bytes_ > 0 && used_bytes_ + num_bytes > max_bytes_) Begin();
    used_bytes_ += num_bytes;
    return parts_.back();
  }

  // Gives each part a piece of `text`, which it must append.
  template <typename Append>
  void ForText(absl::string_view text, Append append) {
    while (!text.empty()) {
      if (max_bytes_ - used_bytes_ < kMinTextBytes) Begin();
      size_t size = std::min<size_t>(text.size(),
                                     max_bytes_ - used_bytes_ - kFieldOverhead);
      // All bytes of a character except the first are 10xxxxxx.
      while (size < text.size() && (text[size] & 0xc0) == 0x80) --size;
      append(For(size), text.substr(0, size));
      text.remove_prefix(size);
    }
  }

  std::vector<v1::GenerateChunk> Take() { return std::move(parts_); }

 private:
  void Begin() {
    parts_.emplace_back();
    used_bytes_ = 0;
  }

  const int64_t max_bytes_;
  int64_t used_bytes_ = 0;  // of the last part
  std::vector<v1::GenerateChunk> parts_;
};

void SplitPrompt(v1::PromptInfo& prompt, Parts& parts) {
  parts.For(0).mutable_prompt()->set_num_tokens(prompt.num_tokens());
  for (v1::Token& token : *prompt.mutable_tokens()) {
    *parts.For(token.ByteSizeLong()).mutable_prompt()->add_tokens() =
        std::move(token);
  }
  parts.ForText(prompt.text(), [](v1::GenerateChunk& part,
                                  absl::string_view piece) {
    part.mutable_prompt()->mutable_text()->append(piece.data(), piece.size());
  });
}

void SplitAnswer(v1::GenerateChunk& chunk, Parts& parts) {
  // Every part with output of the answer says whose it is.
  const auto of_answer = [&chunk](v1::GenerateChunk& part) {
    part.set_index(chunk.index());
    if (chunk.has_usage()) *part.mutable_usage() = chunk.usage();
    return &part;
  };
  for (v1::Token& token : *chunk.mutable_tokens()) {
    *of_answer(parts.For(token.ByteSizeLong()))->add_tokens() =
        std::move(token);
  }
  parts.ForText(
      chunk.text(), [&](v1::GenerateChunk& part, absl::string_view piece) {
        of_answer(part)->mutable_text()->append(piece.data(), piece.size());
      });
  if (chunk.has_finish()) {
    *of_answer(parts.For(chunk.finish().ByteSizeLong()))->mutable_finish() =
        chunk.finish();
  }
}

}  // namespace

std::vector<v1::GenerateChunk> SplitChunk(v1::GenerateChunk chunk,
                                          int64_t max_bytes) {
  std::vector<v1::GenerateChunk> whole;
  if (static_cast<int64_t>(chunk.ByteSizeLong()) <= max_bytes) {
    whole.push_back(std::move(chunk));
    return whole;
  }
  Parts parts(max_bytes);
  if (!chunk.request_id().empty()) {
    parts.For(chunk.request_id().size()).set_request_id(chunk.request_id());
  }
  if (chunk.has_prompt()) SplitPrompt(*chunk.mutable_prompt(), parts);
  SplitAnswer(chunk, parts);
  for (auto& layer : *chunk.mutable_expert_usage()->mutable_layers()) {
    *parts.For(layer.ByteSizeLong()).mutable_expert_usage()->add_layers() =
        std::move(layer);
  }
  if (chunk.has_timing()) {
    *parts.For(chunk.timing().ByteSizeLong()).mutable_timing() = chunk.timing();
  }
  return parts.Take();
}

}  // namespace moe

#define PCRE2_CODE_UNIT_WIDTH 8
#include "server/text/split_pattern.h"

#include <pcre2.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"
#include "server/text/stop_signal.h"

namespace moe {
namespace {

// Steps of one match attempt. Real patterns need a few steps for each byte of
// the longest run; a hostile text for a bad pattern is stopped within a second.
constexpr uint32_t kMinMatchSteps = 1'000'000;
constexpr uint32_t kMatchStepsPerByte = 16;
constexpr uint32_t kMaxMatchSteps = 100'000'000;
constexpr uint32_t kMaxMatchHeapKib = 64 * 1024;

std::string ErrorText(int code) {
  char buffer[256];
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(buffer),
                          sizeof(buffer));
  return buffer;
}

absl::Status Unsupported(absl::string_view regex, absl::string_view what) {
  return absl::UnimplementedError(
      absl::StrCat("the split pattern \"", regex, "\" uses ", what,
                   ", which this tokenizer does not support"));
}

// Rewrites what PCRE2 and Oniguruma read differently. In Oniguruma \s is the
// White_Space property (PCRE2 adds U+180E), and \w includes marks and excludes
// some numbers. Refuses what PCRE2 cannot express.
absl::StatusOr<std::string> TranslateRegex(absl::string_view regex) {
  constexpr absl::string_view kWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
  std::string result;
  int class_depth = 0;
  for (size_t i = 0; i < regex.size(); ++i) {
    const char c = regex[i];
    const char next = i + 1 < regex.size() ? regex[i + 1] : '\0';
    if (c == '\\') {
      switch (next) {
        case 's':
          result += "\\p{White_Space}";
          break;
        case 'S':
          result += "\\P{White_Space}";
          break;
        case 'w':
          absl::StrAppend(&result, class_depth > 0 ? "" : "[", kWord,
                          class_depth > 0 ? "" : "]");
          break;
        case 'W':
          if (class_depth > 0) return Unsupported(regex, "\\W in a class");
          absl::StrAppend(&result, "[^", kWord, "]");
          break;
        case 'p':
        case 'P':
        case 'x':
        case 'u': {
          // Copy the braces too: they are no quantifier.
          size_t length = 2;
          if (regex.substr(i + 2, 1) == "{") {
            length = std::min(regex.find('}', i), regex.size() - 1) + 1 - i;
          }
          result.append(regex.data() + i, length);
          i += length - 2;
          break;
        }
        case 'b':
        case 'B':
        case 'h':
        case 'H':
        case 'R':
        case 'X':
        case 'Z':
        case 'M':
        case 'C':
        case 'O':
        case 'N':
        case 'K':
        case 'g':
        case 'k':
        case 'y':
        case 'Y':
          return Unsupported(regex, absl::StrCat("\\", std::string(1, next)));
        default:
          result += c;
          if (next != '\0') result += next;
      }
      ++i;
      continue;
    }
    if (c == '[') {
      // Inside a class, '[' opens a POSIX class or a nested class.
      if (class_depth > 0 && next != ':') {
        return Unsupported(regex, "a class inside a class");
      }
      if (class_depth > 0) {
        const size_t close = regex.find(":]", i);
        if (close == absl::string_view::npos) {
          return Unsupported(regex, "an open POSIX class");
        }
        result.append(regex.data() + i, close + 2 - i);
        i = close + 1;
        continue;
      }
      ++class_depth;
      result += c;
      // A ']' that comes first is a member, not the end.
      if (next == '^') result += regex[++i];
      if (i + 1 < regex.size() && regex[i + 1] == ']') {
        return Unsupported(regex, "] as the first member of a class");
      }
      continue;
    }
    if (class_depth > 0 && c == ']') --class_depth;
    if (class_depth == 0 && c == '{' && next == ',') {
      return Unsupported(regex, "{,n}");
    }
    if (class_depth == 0 && c == '}' && next == '+') {
      return Unsupported(regex, "a + after {n,m}");  // possessive in PCRE2 only
    }
    if (class_depth > 0 && c == '&' && next == '&') {
      return Unsupported(regex, "&& in a class");
    }
    if (class_depth == 0 && c == '(' && next == '?' && i + 2 < regex.size()) {
      // Groups and look-around have the same syntax; (?m) and others do not.
      const absl::string_view rest = regex.substr(i + 2);
      const bool alike = rest[0] == ':' || rest[0] == '=' || rest[0] == '!' ||
                         rest[0] == '>' || rest.substr(0, 2) == "<=" ||
                         rest.substr(0, 2) == "<!" ||
                         rest.substr(0, 2) == "i:" || rest.substr(0, 2) == "i)";
      if (!alike) {
        return Unsupported(regex, absl::StrCat("(?", rest.substr(0, 2)));
      }
    }
    result += c;
  }
  return result;
}

}  // namespace

absl::StatusOr<SplitPattern> SplitPattern::CreateRegex(
    absl::string_view regex) {
  if (regex.empty()) {
    return absl::InvalidArgumentError("the split pattern is empty");
  }
  ASSIGN_OR_RETURN(const std::string translated, TranslateRegex(regex));
  // In Ruby ^ and $ always match at lines.
  return Compile(std::string(regex.data(), regex.size()), translated,
                 PCRE2_MULTILINE);
}

absl::StatusOr<SplitPattern> SplitPattern::CreateLiteral(
    absl::string_view text) {
  const std::string literal(text.data(), text.size());
  if (literal.empty()) {
    return absl::InvalidArgumentError("the split string is empty");
  }
  return Compile(literal, literal, PCRE2_LITERAL);
}

absl::StatusOr<SplitPattern> SplitPattern::Compile(std::string source,
                                                   const std::string& regex,
                                                   uint32_t options) {
  const std::unique_ptr<pcre2_compile_context,
                        decltype(&pcre2_compile_context_free)>
      context(pcre2_compile_context_create(nullptr),
              &pcre2_compile_context_free);
  if (context == nullptr) {
    return absl::ResourceExhaustedError("no memory to compile a pattern");
  }
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  if (options & PCRE2_LITERAL) {
    options |= PCRE2_UTF;
  } else {
    options |= PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
  }
  int error = 0;
  PCRE2_SIZE error_at = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(),
                    options, &error, &error_at, context.get());
  if (code == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the split pattern \"", source, "\" does not compile: ",
        ErrorText(error), " at byte ", error_at, " of \"", regex, "\""));
  }
  // Without JIT, which SELinux may forbid, matching is only slower.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return SplitPattern(std::move(source), Code(code, &pcre2_code_free));
}

absl::Status SplitPattern::Split(absl::string_view text, int64_t begin,
                                 int64_t end, std::vector<PatternSpan>* spans,
                                 StopSignal* stop) const {
  const absl::string_view subject = text.substr(begin, end - begin);
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)>
      match(pcre2_match_data_create_from_pattern(code_.get(), nullptr),
            &pcre2_match_data_free);
  const std::unique_ptr<pcre2_match_context,
                        decltype(&pcre2_match_context_free)>
      context(pcre2_match_context_create(nullptr), &pcre2_match_context_free);
  if (match == nullptr || context == nullptr) {
    return absl::ResourceExhaustedError("no memory to match a pattern");
  }
  const uint64_t steps =
      kMinMatchSteps + uint64_t{kMatchStepsPerByte} * subject.size();
  pcre2_set_match_limit(context.get(), static_cast<uint32_t>(std::min<uint64_t>(
                                           steps, kMaxMatchSteps)));
  pcre2_set_heap_limit(context.get(), kMaxMatchHeapKib);

  size_t cut = 0;  // everything before is in `spans`
  size_t start = 0;
  while (start < subject.size()) {
    RETURN_IF_ERROR(StopSignal::Check(stop));
    // Without NO_UTF_CHECK each call would check the whole text again: a
    // quadratic cost.
    uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
    int result =
        pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(subject.data()),
                    subject.size(), start, options, match.get(), context.get());
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) {
      options |= PCRE2_NO_JIT;
      result = pcre2_match(
          code_.get(), reinterpret_cast<PCRE2_SPTR>(subject.data()),
          subject.size(), start, options, match.get(), context.get());
    }
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the split pattern \"", source_, "\" gives up at byte ",
                       begin + static_cast<int64_t>(start),
                       " of the text: ", ErrorText(result)));
    }
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.get());
    const int64_t match_begin = begin + static_cast<int64_t>(range[0]);
    const int64_t match_end = begin + static_cast<int64_t>(range[1]);
    const int64_t done = begin + static_cast<int64_t>(cut);
    if (done < match_begin) spans->push_back({done, match_begin, false});
    spans->push_back({match_begin, match_end, true});
    start = cut = range[1];
  }
  if (cut < subject.size()) {
    spans->push_back({begin + static_cast<int64_t>(cut), end, false});
  }
  return absl::OkStatus();
}

}  // namespace moe

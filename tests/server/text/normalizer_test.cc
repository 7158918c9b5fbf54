#include "server/text/normalizer.h"

#include <string>

#include "gtest/gtest.h"

namespace moe {
namespace {

NormalizedText Get(const std::string& text, NormalizationForm form) {
  auto result = Normalize(text, form);
  EXPECT_TRUE(result.ok()) << result.status();
  return *std::move(result);
}

TEST(NormalizerTest, FormsDiffer) {
  const std::string text = "\u1e9b\u0323\ufb01";  // the standard's example
  EXPECT_EQ(Get(text, NormalizationForm::kNone).text(), text);
  EXPECT_EQ(Get(text, NormalizationForm::kNfc).text(), text);
  EXPECT_EQ(Get(text, NormalizationForm::kNfd).text(),
            "\u017f\u0323\u0307\ufb01");
  EXPECT_EQ(Get(text, NormalizationForm::kNfkc).text(),
            "\u1e69"
            "fi");
  EXPECT_EQ(Get(text, NormalizationForm::kNfkd).text(),
            "s\u0323\u0307"
            "fi");
}

TEST(NormalizerTest, SpansLeadBackToTheSource) {
  // "e" + acute (3 bytes) becomes 2 bytes, at byte 2 of both.
  const NormalizedText text = Get("abe\u0301cd", NormalizationForm::kNfc);
  ASSERT_EQ(text.text(),
            "ab\u00e9"
            "cd");
  EXPECT_EQ(text.ToSource({0, 2}), (ByteSpan{0, 2}));
  EXPECT_EQ(text.ToSource({2, 4}), (ByteSpan{2, 5}));
  EXPECT_EQ(text.ToSource({2, 3}), (ByteSpan{2, 5}));  // part of a change
  EXPECT_EQ(text.ToSource({3, 4}), (ByteSpan{2, 5}));
  EXPECT_EQ(text.ToSource({1, 5}), (ByteSpan{1, 6}));
  EXPECT_EQ(text.ToSource({4, 6}), (ByteSpan{5, 7}));
  EXPECT_EQ(text.ToSource({6, 6}), (ByteSpan{7, 7}));
}

TEST(NormalizerTest, UnchangedTextKeepsItsSpans) {
  const NormalizedText text = Get("caf\u00e9", NormalizationForm::kNfc);
  EXPECT_EQ(text.ToSource({1, 4}), (ByteSpan{1, 4}));
  EXPECT_EQ(text.ToSource({0, 5}), (ByteSpan{0, 5}));
  EXPECT_EQ(Get("", NormalizationForm::kNfc).ToSource({0, 0}),
            (ByteSpan{0, 0}));
}

}  // namespace
}  // namespace moe

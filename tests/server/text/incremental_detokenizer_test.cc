#include "server/text/incremental_detokenizer.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "server/text/utf8.h"
#include "tests/server/text/tokenizer_cases.h"

namespace moe {
namespace {

// Ids 1 to 256 of "small" are the bytes in the order of the alphabet.
int32_t ByteId(const Tokenizer& tokenizer, uint8_t byte) {
  for (int32_t id = 1; id <= 256; ++id) {
    if (tokenizer.TokenBytes(id) ==
        absl::string_view(reinterpret_cast<const char*>(&byte), 1)) {
      return id;
    }
  }
  return -1;
}

class IncrementalDetokenizerTest : public testing::Test {
 protected:
  std::vector<std::string> Pieces(const std::string& bytes) {
    IncrementalDetokenizer detokenizer(*tokenizer_, false);
    std::vector<std::string> pieces;
    for (const char c : bytes) {
      pieces.push_back(
          detokenizer.Append(ByteId(*tokenizer_, static_cast<uint8_t>(c))));
    }
    pieces.push_back(detokenizer.Finish());
    return pieces;
  }

  std::unique_ptr<Tokenizer> tokenizer_ = LoadGoldenTokenizer("small");
};

using Strings = std::vector<std::string>;

TEST_F(IncrementalDetokenizerTest, CharactersComeWhenComplete) {
  EXPECT_EQ(Pieces("a\u00e9"), (Strings{"a", "", "\u00e9", ""}));
  EXPECT_EQ(Pieces("\U0001f600!"),
            (Strings{"", "", "", "\U0001f600", "!", ""}));
}

TEST_F(IncrementalDetokenizerTest, IllFormedBytesBecomeReplacements) {
  EXPECT_EQ(Pieces("\xFF"
                   "a"),
            (Strings{"\ufffd", "a", ""}));
  EXPECT_EQ(Pieces("\xE4\xBD"), (Strings{"", "", "\ufffd"}));
  EXPECT_EQ(Pieces("\xE4\xBD"
                   "a"),
            (Strings{"", "",
                     "\ufffd"
                     "a",
                     ""}));
  EXPECT_EQ(Pieces("\xE4\xE4\xBD\xA0"),
            (Strings{"", "\ufffd", "", "\u4f60", ""}));
  EXPECT_EQ(Pieces("\xF0\x80"), (Strings{"", "\ufffd\ufffd", ""}));
}

TEST_F(IncrementalDetokenizerTest, JoinedPiecesEqualDecodingAtOnce) {
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    // Mostly bytes above 0x7F, so that every kind of ill-formed text occurs.
    std::vector<int32_t> ids(random() % 30);
    for (int32_t& id : ids) {
      id = static_cast<int32_t>(random() % 4 ? 95 + random() % 162
                                             : random() % 600);
    }
    for (const bool skip_special : {false, true}) {
      IncrementalDetokenizer detokenizer(*tokenizer_, skip_special);
      std::string joined;
      for (const int32_t id : ids) {
        const std::string piece = detokenizer.Append(id);
        EXPECT_EQ(FindInvalidUtf8(piece), absl::string_view::npos);
        joined += piece;
      }
      joined += detokenizer.Finish();
      EXPECT_EQ(joined, *tokenizer_->Decode(ids, skip_special));
    }
  }
}

TEST_F(IncrementalDetokenizerTest, IdsThatAreNoTokensAddNothing) {
  IncrementalDetokenizer detokenizer(*tokenizer_, true);
  EXPECT_EQ(detokenizer.Append(-1), "");
  EXPECT_EQ(detokenizer.Append(1 << 20), "");
  EXPECT_EQ(detokenizer.Append(0), "");  // <|endoftext|>
  EXPECT_EQ(detokenizer.Append(ByteId(*tokenizer_, 'x')), "x");
  EXPECT_EQ(detokenizer.Finish(), "");
}

}  // namespace
}  // namespace moe

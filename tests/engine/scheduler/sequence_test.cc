#include "engine/scheduler/sequence.h"

#include "gtest/gtest.h"

namespace moe {
namespace {

struct Request {
  Request(int64_t key, int32_t priority, bool promoted = false) {
    state.request.key = key;
    state.request.priority = priority;
    state.promoted = promoted;
    sequence.request = &state;
  }
  RequestState state;
  Sequence sequence;
};

bool Before(const Request& a, const Request& b) {
  EXPECT_FALSE(ServedBefore(a.sequence, b.sequence) &&
               ServedBefore(b.sequence, a.sequence));
  return ServedBefore(a.sequence, b.sequence);
}

TEST(SequenceTest, OrderIsPriorityThenArrivalThenAnswer) {
  EXPECT_TRUE(Before(Request(9, 5), Request(1, 4)));
  EXPECT_TRUE(Before(Request(1, 5), Request(9, 5)));
  Request same(3, 0);
  Sequence second = same.sequence;
  second.answer_index = 1;
  EXPECT_TRUE(ServedBefore(same.sequence, second));
  EXPECT_FALSE(ServedBefore(second, same.sequence));
}

TEST(SequenceTest, PromotedGoFirstByArrivalAlone) {
  EXPECT_TRUE(Before(Request(9, -5, true), Request(1, 100)));
  EXPECT_TRUE(Before(Request(3, 0, true), Request(4, 100, true)));
}

TEST(SequenceTest, TokensArePromptThenAnswer) {
  Request request(0, 0);
  request.state.request.prompt = {5, 6};
  request.sequence.answer = {7};
  EXPECT_EQ(request.sequence.num_known(), 3);
  EXPECT_EQ(request.sequence.token(1), 6);
  EXPECT_EQ(request.sequence.token(2), 7);
  request.sequence.num_computed = 1;
  EXPECT_TRUE(request.sequence.in_prompt());
  EXPECT_EQ(request.sequence.num_pending(), 2);
  request.sequence.num_computed = 2;
  EXPECT_FALSE(request.sequence.in_prompt());
}

}  // namespace
}  // namespace moe

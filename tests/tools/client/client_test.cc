#include <signal.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/fakes/scripted_server.h"
#include "tests/tools/client/client_process.h"

namespace moe {
namespace {

class ClientTest : public testing::Test {
 protected:
  std::vector<std::string> Arguments(std::vector<std::string> arguments) {
    arguments.push_back("--address=" + server_.address());
    return arguments;
  }
  ProcessResult Run(std::vector<std::string> arguments,
                    const std::string& input = "") {
    return ClientProcess(Arguments(std::move(arguments)), input).Wait();
  }

  ScriptedServer server_;
};

#define EXPECT_CONTAINS(text, part) \
  EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(ClientTest, GenerateStreamsTextAndEndsOnStatistics) {
  const ProcessResult result = Run({"generate", "Count"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "One, two.\n");
  EXPECT_CONTAINS(result.err, "3 prompt tokens, 4 new tokens");
  EXPECT_CONTAINS(result.err, "first token after");
  EXPECT_CONTAINS(result.err, "tokens/s");
  EXPECT_EQ(server_.last_generate().text(), "Count");
  // Fields that are not on the command line are unset.
  EXPECT_FALSE(server_.last_generate().sampling().has_temperature());
  EXPECT_FALSE(server_.last_generate().stopping().has_max_new_tokens());
}

TEST_F(ClientTest, AnswersThatCannotBeWrittenAreAFailure) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"generate", "Count"}, {"info"}}) {
    const ProcessResult result =
        ClientProcess(Arguments(command), "", "/dev/full").Wait();
    EXPECT_EQ(result.exit_status, 1) << command[0];
    EXPECT_CONTAINS(result.err, "client: cannot write to standard output: ");
  }
}

TEST_F(ClientTest, AnEmptyAddressIsRefused) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"generate", "Count"}, {"info"}, {"health"}}) {
    std::vector<std::string> arguments = command;
    arguments.push_back("--address=");
    const ProcessResult result = ClientProcess(arguments).Wait();
    EXPECT_EQ(result.exit_status, 2) << command[0];
    EXPECT_EQ(result.err, "client: --address is empty, must be host:port\n");
  }
}

TEST_F(ClientTest, SeveralAnswersAreApart) {
  const ProcessResult result = Run({"generate", "Count", "--n=2"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "One, two.\n[answer 2 of 2, end of text]\nOne, two.\n");
}

TEST_F(ClientTest, EveryFlagReachesItsField) {
  const ProcessResult result = Run({"generate",
                                    "--token_ids=1,2",
                                    "--temperature=0",
                                    "--top_p=0.5",
                                    "--top_k=3",
                                    "--min_p=0.25",
                                    "--seed=18446744073709551615",
                                    "--n=2",
                                    "--presence_penalty=-1",
                                    "--frequency_penalty=1.5",
                                    "--repetition_penalty=2",
                                    "--logit_bias=4:-1.5",
                                    "--allowed_token_ids=4,5",
                                    "--banned_token_ids=6",
                                    "--max_new_tokens=9",
                                    "--min_new_tokens=8",
                                    "--stop=[\"a\", \"\\n\"]",
                                    "--stop_token_ids=7",
                                    "--include_stop",
                                    "--ignore_eos",
                                    "--logprobs=2",
                                    "--prompt_logprobs=1",
                                    "--echo",
                                    "--priority=-3",
                                    "--truncate_prompt_tokens=1",
                                    "--request_id=mine",
                                    "--model=m"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  const v1::GenerateRequest got = server_.last_generate();
  ASSERT_EQ(got.token_ids().ids_size(), 2);
  EXPECT_EQ(got.token_ids().ids(1), 2u);
  EXPECT_TRUE(got.sampling().has_temperature());
  EXPECT_EQ(got.sampling().temperature(), 0);
  EXPECT_EQ(got.sampling().top_p(), 0.5);
  EXPECT_EQ(got.sampling().top_k(), 3u);
  EXPECT_EQ(got.sampling().min_p(), 0.25);
  EXPECT_EQ(got.sampling().seed(), 18446744073709551615u);
  EXPECT_EQ(got.sampling().n(), 2u);
  EXPECT_EQ(got.penalties().presence(), -1);
  EXPECT_EQ(got.penalties().frequency(), 1.5);
  EXPECT_EQ(got.penalties().repetition(), 2);
  EXPECT_EQ(got.penalties().logit_bias().at(4), -1.5);
  EXPECT_EQ(got.penalties().allowed_token_ids_size(), 2);
  EXPECT_EQ(got.penalties().banned_token_ids(0), 6u);
  EXPECT_EQ(got.stopping().max_new_tokens(), 9u);
  EXPECT_EQ(got.stopping().min_new_tokens(), 8u);
  ASSERT_EQ(got.stopping().stop_size(), 2);
  EXPECT_EQ(got.stopping().stop(1), "\n");
  EXPECT_EQ(got.stopping().stop_token_ids(0), 7u);
  EXPECT_TRUE(got.stopping().include_stop());
  EXPECT_TRUE(got.stopping().ignore_eos());
  EXPECT_EQ(got.output().logprobs(), 2u);
  EXPECT_EQ(got.output().prompt_logprobs(), 1u);
  EXPECT_TRUE(got.output().echo());
  EXPECT_EQ(got.priority(), -3);
  EXPECT_EQ(got.truncate_prompt_tokens(), 1u);
  EXPECT_EQ(got.request_id(), "mine");
  EXPECT_EQ(got.model(), "m");
}

TEST_F(ClientTest, LogprobsShowTheTokensText) {
  const ProcessResult result = Run({"generate", "Count", "--logprobs=1"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_CONTAINS(result.out,
                  "token 10 \" \\303\": logprob -0.500000, rank 2\n"
                  "  9 \"\\n\": -0.250000\n");
}

TEST_F(ClientTest, SpecialTokensCanBeKeptPlain) {
  EXPECT_EQ(Run({"generate", "Count"}).exit_status, 0);
  EXPECT_FALSE(server_.last_generate().has_add_special_tokens());
  EXPECT_FALSE(server_.last_generate().has_parse_special_tokens());
  ProcessResult result = Run({"generate", "Count", "--noadd_special_tokens",
                              "--noparse_special_tokens"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  const v1::GenerateRequest got = server_.last_generate();
  EXPECT_TRUE(got.has_add_special_tokens() && !got.add_special_tokens());
  EXPECT_TRUE(got.has_parse_special_tokens() && !got.parse_special_tokens());
  result = Run({"tokenize", "a", "--noparse_special_tokens"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_CONTAINS(result.err, "7 bytes dropped: the vocabulary has no token");
}

TEST_F(ClientTest, PromptsComeFromStandardInputLineByLine) {
  const ProcessResult result =
      Run({"generate", "-", "--lines"}, "first\n\nsecond\n");
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "> first\nOne, two.\n> second\nOne, two.\n");
  EXPECT_CONTAINS(result.err, "2 prompts: 6 prompt tokens, 8 new tokens");
}

TEST_F(ClientTest, JsonIsOneObjectALine) {
  const ProcessResult result = Run({"generate", "x", "--json", "--quiet"});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(result.err, "");
  std::istringstream lines(result.out);
  std::string text, line;
  nlohmann::json json;
  while (std::getline(lines, line)) {
    json = nlohmann::json::parse(line, nullptr, false);
    ASSERT_TRUE(json.is_object()) << line;
    text += json.value("text", "");
  }
  EXPECT_EQ(text, "One, two.");
  EXPECT_EQ(json["statistics"]["new_tokens"], 4);
}

TEST_F(ClientTest, StatisticsGoToAFileIfAsked) {
  const std::string path = testing::TempDir() + "/statistics.json";
  EXPECT_EQ(Run({"generate", "x", "--statistics_file=" + path}).exit_status, 0);
  std::ifstream file(path);
  const auto json = nlohmann::json::parse(file, nullptr, false);
  ASSERT_TRUE(json.is_object());
  EXPECT_EQ(json["prompt_tokens"], 3);
  EXPECT_EQ(json["requests"], 1);
  const ProcessResult result =
      Run({"generate", "x", "--statistics_file=/no/such/directory/file"});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_CONTAINS(result.err, "--statistics_file");
}

TEST_F(ClientTest, NostreamPrintsTheWholeAnswer) {
  const ProcessResult result = Run({"generate", "x", "--nostream"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "All at once.\n");
}

TEST_F(ClientTest, FieldViolationsArePrintedOneALine) {
  const ProcessResult result = Run({"generate", "bad"});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err,
            "client: INVALID_ARGUMENT\n"
            "  sampling.top_p: is 7; the range is (0, 1]\n"
            "  sampling.n: is 0; the range is [1, 16]\n");
}

TEST_F(ClientTest, RetryInfoSaysWhenToTryAgain) {
  const ProcessResult result = Run({"generate", "busy"});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_CONTAINS(result.err, "RESOURCE_EXHAUSTED: the queue is full");
  EXPECT_CONTAINS(result.err, "try again in 2.5s");
}

TEST_F(ClientTest, AnAnswerThatBreaksOffKeepsItsStart) {
  const ProcessResult result = Run({"generate", "broken"});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_EQ(result.out, "One,\n");
  EXPECT_CONTAINS(result.err, "UNAVAILABLE: the engine has stopped");
}

TEST_F(ClientTest, InterruptCancelsTheCall) {
  ClientProcess client(Arguments({"generate", "endless"}));
  ASSERT_TRUE(server_.WaitForChunk());
  client.Signal(SIGINT);
  EXPECT_TRUE(server_.WaitForCancel());
  const ProcessResult result = client.Wait();
  EXPECT_EQ(result.exit_status, 130);
  EXPECT_CONTAINS(result.err, "interrupted");
}

TEST_F(ClientTest, TimeoutEndsTheCall) {
  const ProcessResult result = Run({"generate", "endless", "--timeout=200ms"});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_CONTAINS(result.err, "DEADLINE_EXCEEDED");
  EXPECT_CONTAINS(result.err, "--timeout");
}

TEST_F(ClientTest, TokenizeAndDetokenize) {
  ProcessResult result = Run({"tokenize", "a\xC3\xA9"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_CONTAINS(result.out, "      97  \"a\"\n");
  EXPECT_CONTAINS(result.out, "     195  \"\\303\"\n");  // half a character
  EXPECT_CONTAINS(result.err, "3 tokens, 3 bytes");
  result = Run({"detokenize", "72", "105"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "Hi\n");
  EXPECT_EQ(Run({"detokenize", "x"}).exit_status, 2);
  EXPECT_EQ(Run({"detokenize"}).exit_status, 2);
}

TEST_F(ClientTest, ControlCommands) {
  EXPECT_CONTAINS(Run({"info"}).out, "version: \"scripted\"");
  EXPECT_CONTAINS(Run({"load"}).out, "running_sequences: 17");
  EXPECT_CONTAINS(Run({"load", "--json"}).out, "\"running_sequences\":\"17\"");
  const std::string ranks = Run({"ranks"}).out;
  EXPECT_CONTAINS(ranks, "   0     0  alpha       100  in step        none");
  EXPECT_CONTAINS(ranks, "   1     1  beta        101  in step          41");
  EXPECT_CONTAINS(ranks, "2 AVX3\n");
  EXPECT_CONTAINS(Run({"ranks", "--json"}).out, "\"state\":\"IN_STEP\"");
  const std::string experts = Run({"experts"}).out;
  EXPECT_CONTAINS(experts,
                  "layer 3: largest over mean 1.50 by expert, 0.00 by rank\n");
  EXPECT_CONTAINS(experts, "  tokens by expert  30 10\n");
  EXPECT_CONTAINS(experts, "  exchanges         flat x 7; 0 messages");
  EXPECT_CONTAINS(Run({"models"}).out, "experts [0 4 0 8]");
  EXPECT_CONTAINS(Run({"abort", "r1", "r2"}).out, "aborted: 2");
  EXPECT_EQ(server_.last_abort().request_ids(1), "r2");
  EXPECT_EQ(Run({"abort"}).exit_status, 2);
  EXPECT_CONTAINS(Run({"drain", "--wait=3s"}).out, "idle: true");
  const ProcessResult resume = Run({"resume"});
  EXPECT_EQ(resume.exit_status, 1);
  EXPECT_CONTAINS(resume.err, "UNIMPLEMENTED");
}

TEST_F(ClientTest, HealthIsInTheExitStatus) {
  ProcessResult result = Run({"health"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_CONTAINS(result.out, "SERVING");
  result = Run({"health", "no.such.Service"});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_CONTAINS(result.err, "NOT_FOUND");
}

TEST(ClientWithoutServerTest, SaysThatTheConnectionIsRefused) {
  for (const char* command : {"models", "health"}) {
    const ProcessResult result =
        ClientProcess({command, "--address=127.0.0.1:1"}).Wait();
    EXPECT_EQ(result.exit_status, 1);
    EXPECT_CONTAINS(result.err, "127.0.0.1:1: connection refused");
  }
}

TEST(ClientWithoutServerTest, WrongCommandLinesExitWithTwo) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{
           {},
           {"bogus"},
           {"generate"},
           {"generate", "a", "b"},
           {"generate", "a", "--token_ids=1"},
           {"generate", "a", "--token_ids=x"},
           {"generate", "a", "--stop_token_ids=x"},
           {"info", "x"},
           {"models", "x"},
           {"generate", "a", "--tls_ca=/no/such/file"}}) {
    const ProcessResult result = ClientProcess(arguments).Wait();
    EXPECT_EQ(result.exit_status, 2) << testing::PrintToString(arguments);
    EXPECT_NE(result.err, "");
  }
}

}  // namespace
}  // namespace moe

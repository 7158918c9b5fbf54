#include "tools/client/generate_command.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "kernels/core/status_macros.h"
#include "kernels/core/steady_clock.h"
#include "proto/moe/v1/generation.grpc.pb.h"
#include "tools/client/answer_printer.h"
#include "tools/client/connection.h"
#include "tools/client/flag_values.h"
#include "tools/client/generation_flags.h"
#include "tools/client/interrupt.h"
#include "tools/client/message_printer.h"
#include "tools/client/prompt_source.h"
#include "tools/client/rpc_error.h"
#include "tools/client/stream_statistics.h"

ABSL_DECLARE_FLAG(std::string, model);
ABSL_DECLARE_FLAG(std::string, prompt_file);
ABSL_DECLARE_FLAG(std::string, token_ids);
ABSL_FLAG(bool, lines, false,
          "generate: each line of the prompt is a separate prompt.");
ABSL_FLAG(
    bool, stream, true,
    "generate: print tokens as they arrive (--nostream: all at the end).");
ABSL_FLAG(std::string, statistics_file, "",
          "generate: write the statistics to this file, as JSON.");
ABSL_FLAG(bool, quiet, false, "generate: no progress, no statistics.");

namespace moe::client {
namespace {

constexpr absl::Duration kProgressInterval = absl::Milliseconds(200);

// Cancels the running call when the user interrupts. Thread-safe.
class CallCanceller {
 public:
  void SetCall(grpc::ClientContext* context) {
    const std::lock_guard lock(mutex_);
    context_ = context;
    if (interrupted_ && context_ != nullptr) context_->TryCancel();
  }
  void Interrupt() {
    const std::lock_guard lock(mutex_);
    interrupted_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  bool interrupted() const { return interrupted_; }

 private:
  std::mutex mutex_;
  grpc::ClientContext* context_ = nullptr;  // the caller's, while it runs
  std::atomic<bool> interrupted_ = false;
};

// Shows a token counter on the terminal while standard output is a file or
// pipe.
class Progress {
 public:
  void Show(const StreamStatistics& statistics) {
    if (!enabled_ || SteadyNow() < next_) return;
    next_ = SteadyNow() + kProgressInterval;
    std::fprintf(stderr, "\r%ld new tokens, %.1f tokens/s ",
                 static_cast<long>(statistics.new_tokens()),
                 statistics.tokens_per_second());
    shown_ = true;
  }
  void Clear() {
    if (std::exchange(shown_, false)) std::fprintf(stderr, "\r\033[K");
  }

 private:
  const bool enabled_ = !absl::GetFlag(FLAGS_quiet) && isatty(STDERR_FILENO) &&
                        !isatty(STDOUT_FILENO);
  bool shown_ = false;
  absl::Time next_;
};

uint32_t NumAnswers(const v1::GenerateRequest& request) {
  return request.sampling().has_n() ? request.sampling().n() : 1;
}

grpc::Status StreamOne(const v1::GenerateRequest& request,
                       v1::Inference::Stub& stub, grpc::ClientContext& context,
                       StreamStatistics& statistics) {
  AnswerPrinter printer(NumAnswers(request));
  Progress progress;
  statistics.StartRequest(SteadyNow());
  const auto reader = stub.GenerateStream(&context, request);
  v1::GenerateChunk chunk;
  while (reader->Read(&chunk)) {
    if (chunk.has_prompt()) {
      statistics.AddPrompt(chunk.prompt().num_tokens());
    }
    statistics.AddTokens(chunk.tokens_size(), SteadyNow());
    if (WantsJson()) {
      Print(ToJsonLine(chunk) + "\n");
    } else {
      printer.Add(chunk);
    }
    progress.Show(statistics);
  }
  const grpc::Status status = reader->Finish();
  statistics.EndRequest(SteadyNow());
  progress.Clear();
  printer.Finish();
  return status;
}

grpc::Status GenerateOne(const v1::GenerateRequest& request,
                         v1::Inference::Stub& stub,
                         grpc::ClientContext& context,
                         StreamStatistics& statistics) {
  statistics.StartRequest(SteadyNow());
  v1::GenerateResponse response;
  const grpc::Status status = stub.Generate(&context, request, &response);
  statistics.EndRequest(SteadyNow());
  if (!status.ok()) return status;
  statistics.AddPrompt(response.prompt().num_tokens());
  for (const v1::Answer& answer : response.answers()) {
    statistics.AddTokens(answer.tokens_size(), SteadyNow());
  }
  if (WantsJson()) {
    Print(ToJsonLine(response) + "\n");
    return status;
  }
  AnswerPrinter printer(NumAnswers(request));
  printer.Add(response);
  printer.Finish();
  return status;
}

// One request for each prompt.
absl::StatusOr<std::vector<v1::GenerateRequest>> MakeRequests(
    const std::vector<std::string>& arguments) {
  ASSIGN_OR_RETURN(v1::GenerateRequest request, RequestFromFlags());
  request.set_model(absl::GetFlag(FLAGS_model));
  std::vector<v1::GenerateRequest> requests;
  const std::string file = absl::GetFlag(FLAGS_prompt_file);
  ASSIGN_OR_RETURN(const auto ids,
                   ParseIds("token_ids", absl::GetFlag(FLAGS_token_ids)));
  if (!ids.empty()) {
    if (!arguments.empty() || !file.empty()) {
      return absl::InvalidArgumentError(
          "give a prompt as text or as --token_ids, not both");
    }
    request.mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
    requests.push_back(std::move(request));
    return requests;
  }
  ASSIGN_OR_RETURN(
      const std::vector<std::string> prompts,
      ReadPrompts({arguments, file, absl::GetFlag(FLAGS_lines)}, std::cin));
  for (size_t i = 0; i < prompts.size(); ++i) {
    requests.push_back(request);
    requests.back().set_text(prompts[i]);
    if (prompts.size() > 1 && !request.request_id().empty()) {
      requests.back().set_request_id(
          absl::StrCat(request.request_id(), "-", i + 1));
    }
  }
  return requests;
}

}  // namespace

int RunGenerate(const std::vector<std::string>& arguments) {
  const auto requests = MakeRequests(arguments);
  // Shared with the signal thread, which may outlive this function.
  const auto canceller = std::make_shared<CallCanceller>();
  OnInterrupt([canceller] { canceller->Interrupt(); });
  const auto channel = OpenChannel();
  for (const absl::Status& status : {requests.status(), channel.status()}) {
    if (status.ok()) continue;
    std::fprintf(stderr, "client: %s\n", std::string(status.message()).c_str());
    return kExitUsage;
  }

  const auto stub = v1::Inference::NewStub(*channel);
  StreamStatistics statistics;
  int exit_status = kExitOk;
  for (const v1::GenerateRequest& request : *requests) {
    grpc::ClientContext context;
    SetDeadline(absl::InfiniteDuration(), &context);
    canceller->SetCall(&context);
    if (requests->size() > 1 && !WantsJson()) {
      Print(absl::StrCat("> ", request.text(), "\n"));
    }
    const grpc::Status status =
        absl::GetFlag(FLAGS_stream)
            ? StreamOne(request, *stub, context, statistics)
            : GenerateOne(request, *stub, context, statistics);
    canceller->SetCall(nullptr);
    if (canceller->interrupted()) {
      std::fprintf(stderr, "client: interrupted\n");
      exit_status = kExitInterrupted;
      break;
    }
    if (!status.ok()) {
      exit_status = ReportError(status, **channel);
      break;
    }
  }
  if (WantsJson()) {
    Print(absl::StrCat("{\"statistics\": ", statistics.ToJson(), "}\n"));
  }
  const std::string file = absl::GetFlag(FLAGS_statistics_file);
  if (!file.empty() && !(std::ofstream(file) << statistics.ToJson() << "\n")) {
    std::fprintf(stderr, "client: --statistics_file: cannot write \"%s\"\n",
                 file.c_str());
    exit_status = kExitFailed;
  }
  if (!absl::GetFlag(FLAGS_quiet) && statistics.new_tokens() > 0) {
    std::fprintf(stderr, "%s\n", statistics.ToLine().c_str());
  }
  return exit_status;
}

}  // namespace moe::client

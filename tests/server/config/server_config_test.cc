#include "server/config/server_config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace moe {
namespace {

class ServerConfigTest : public testing::Test {
 protected:
  ServerConfigTest() : dir_(std::string(std::getenv("TEST_TMPDIR"))) {
    std::filesystem::create_directories(dir_ / "models" / "tiny");
  }

  // `text` as a file beside the directory models/tiny.
  absl::StatusOr<ServerConfig> Parse(const std::string& text) const {
    return ParseServerConfig(text, File());
  }
  std::string File() const { return (dir_ / "server.textproto").string(); }
  void Touch(const std::string& name) const { std::ofstream(dir_ / name); }

  // Expects one line that names the file, `line` and `what`.
  void ExpectError(const std::string& text, int line,
                   const std::string& what) const {
    const absl::Status status = Parse(text).status();
    const std::string message(status.message());
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_TRUE(absl::StartsWith(message, absl::StrCat(File(), ":", line, ":")))
        << message;
    EXPECT_TRUE(absl::StrContains(message, what)) << message;
    EXPECT_FALSE(absl::StrContains(message, "\n")) << message;
  }

  const std::filesystem::path dir_;
};

TEST_F(ServerConfigTest, DefaultsAreFilledIn) {
  const auto config = Parse("model { path: \"models/tiny\" }");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->engine.checkpoint_path, (dir_ / "models/tiny").string());
  EXPECT_EQ(config->model_name, "tiny");
  EXPECT_EQ(config->tokenizer_path, "");
  EXPECT_EQ(config->engine.weight_dtype, DType::kBf16);
  EXPECT_EQ(config->engine.num_threads, 0);
  EXPECT_EQ(config->engine.engine.block_size, 16);
  EXPECT_EQ(config->engine.engine.max_running_sequences, 64);
  EXPECT_EQ(config->sampling_defaults.temperature, 1);
  EXPECT_EQ(config->listen.address, "127.0.0.1");
  EXPECT_EQ(config->listen.port, 50051);
  EXPECT_FALSE(config->listen.tls.has_value());
  EXPECT_EQ(config->drain_grace, absl::Seconds(30));
  EXPECT_EQ(config->world_size, 0);
  EXPECT_EQ(config->engine.parallel.tensor_degree, 0);
  EXPECT_FALSE(config->engine.parallel.exchange.has_value());
  EXPECT_FALSE(config->engine.parallel.nodes.has_value());
}

TEST_F(ServerConfigTest, EveryFieldIsRead) {
  for (const char* name : {"t.json", "cert.pem", "key.pem", "ca.pem"}) {
    Touch(name);
  }
  const auto config = Parse(R"pb(
    model {
      path: "models/tiny/"
      name: "prose"
      tokenizer: "t.json"
      eos_token_ids: [ 3, 4 ]
      weight_dtype: F32
      checkpoint {
        qkv_layout: VERSION_0
        residual_moe: B1
        activation: GELU_ERF
        rope_double_cos_quirk: true
        vocab_size: 1000
      }
    }
    engine {
      threads: 2
      pin_threads: true
      kv_cache_bytes: 1000000
      block_size: 8
      max_step_tokens: 256
      prefill_chunk_tokens: 64
      max_running_sequences: 32
      max_waiting_requests: 10
      stall_timeout: "5s"
      sampling_defaults {
        temperature: 0
        top_p: 0.5
        top_k: 7
        min_p: 0.25
        presence_penalty: 1
        frequency_penalty: -1
        repetition_penalty: 1.5
      }
    }
    server {
      address: "::1"
      port: 0
      port_file: "port"
      tls { certificate: "cert.pem" private_key: "key.pem" client_ca: "ca.pem" }
      max_message_bytes: 65536
      max_concurrent_streams: 5
      max_concurrent_requests: 6
      max_answers: 7
      max_logprobs: 8
      max_stop_strings: 9
      keepalive_time: "1m"
      keepalive_timeout: "2s"
      min_client_ping_interval: "3s"
      drain_grace: "1m30s"
      retry_delay: "250ms"
      remote_control: true
    }
    log { level: DEBUG format: JSON }
    parallel {
      world_size: 8
      nodes: 2
      tensor_degree: 2
      expert_degree: 4
      slice_degree: 1
      moe_layers { layer: 3 expert_degree: 8 }
      moe_layers { layer: 5 slice_degree: 2 }
      exchange: HIERARCHICAL
      node_shape: "4x2"
      decode_batch: 32
      costs {
        in_node { latency: '5us' per_message: '1.5us' bytes_per_second: 5e9 }
        across { per_message: '0s' }
        read_bytes_per_second: 12.5e9
        flops_per_second: 2e11
      }
      connect_timeout: "10s"
      start_timeout: "5m"
      step_timeout: "20s"
      watchdog: "3s"
    })pb");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->world_size, 8);
  EXPECT_EQ(config->nodes, 2);
  const ParallelOptions& parallel = config->engine.parallel;
  EXPECT_EQ(parallel.tensor_degree, 2);
  EXPECT_EQ(parallel.expert_degree, 4);
  EXPECT_EQ(parallel.slice_degree, 1);
  ASSERT_EQ(parallel.layers.size(), 2u);
  EXPECT_EQ(parallel.layers[0].layer, 3);
  EXPECT_EQ(parallel.layers[0].expert_degree, 8);
  EXPECT_EQ(parallel.layers[0].slice_degree, 0);
  EXPECT_EQ(parallel.layers[1].layer, 5);
  EXPECT_EQ(parallel.layers[1].slice_degree, 2);
  EXPECT_EQ(parallel.exchange, ExchangeKind::kHierarchical);
  ASSERT_TRUE(parallel.nodes.has_value());
  EXPECT_EQ(parallel.nodes->num_nodes, 4);
  EXPECT_EQ(parallel.nodes->ranks_per_node, 2);
  EXPECT_EQ(parallel.decode_batch, 32);
  const CostOptions& costs = parallel.costs;
  EXPECT_TRUE(costs.in_node.is_complete());
  EXPECT_EQ(costs.in_node.latency, absl::Microseconds(5));
  EXPECT_EQ(costs.in_node.per_message, absl::Nanoseconds(1500));
  EXPECT_EQ(costs.in_node.bytes_per_second, 5e9);
  EXPECT_EQ(costs.across.latency, std::nullopt);
  EXPECT_EQ(costs.across.per_message, absl::ZeroDuration());
  EXPECT_EQ(costs.across.bytes_per_second, std::nullopt);
  EXPECT_EQ(costs.copy_bytes_per_second, std::nullopt);
  EXPECT_EQ(costs.read_bytes_per_second, 12.5e9);
  EXPECT_EQ(costs.flops_per_second, 2e11);
  EXPECT_EQ(config->connect_timeout, absl::Seconds(10));
  EXPECT_EQ(parallel.start_timeout, absl::Minutes(5));
  EXPECT_EQ(parallel.step_timeout, absl::Seconds(20));
  EXPECT_EQ(parallel.watchdog, absl::Seconds(3));
  const LoadEngineOptions& load = config->engine;
  EXPECT_EQ(config->model_name, "prose");
  EXPECT_EQ(config->tokenizer_path, (dir_ / "t.json").string());
  EXPECT_EQ(config->eos_token_ids, (std::vector<int32_t>{3, 4}));
  EXPECT_EQ(load.weight_dtype, DType::kF32);
  EXPECT_EQ(load.checkpoint.megatron.qkv_layout, QkvLayout::kQKV);
  EXPECT_EQ(load.checkpoint.megatron.residual_moe, ResidualMoeKind::kB1);
  EXPECT_EQ(load.checkpoint.megatron.activation, ActivationKind::kGeluErf);
  EXPECT_TRUE(load.checkpoint.megatron.rope_double_cos_quirk);
  EXPECT_EQ(load.checkpoint.vocab_size, 1000);
  EXPECT_EQ(load.num_threads, 2);
  EXPECT_TRUE(load.pin_threads);
  EXPECT_EQ(load.kv_cache_bytes, 1000000);
  EXPECT_EQ(load.engine.block_size, 8);
  EXPECT_EQ(load.engine.max_step_tokens, 256);
  EXPECT_EQ(load.engine.prefill_chunk_tokens, 64);
  EXPECT_EQ(load.engine.max_running_sequences, 32);
  EXPECT_EQ(load.engine.max_waiting_requests, 10);
  EXPECT_EQ(load.engine.stall_timeout, absl::Seconds(5));
  EXPECT_EQ(config->sampling_defaults.temperature, 0);
  EXPECT_EQ(config->sampling_defaults.top_p, 0.5f);
  EXPECT_EQ(config->sampling_defaults.top_k, 7);
  EXPECT_EQ(config->sampling_defaults.min_p, 0.25f);
  EXPECT_EQ(config->sampling_defaults.presence_penalty, 1);
  EXPECT_EQ(config->sampling_defaults.frequency_penalty, -1);
  EXPECT_EQ(config->sampling_defaults.repetition_penalty, 1.5f);
  EXPECT_EQ(config->listen.address, "::1");
  EXPECT_EQ(config->listen.port, 0);
  EXPECT_EQ(config->listen.port_file, (dir_ / "port").string());
  EXPECT_EQ(config->listen.tls->certificate, (dir_ / "cert.pem").string());
  EXPECT_EQ(config->listen.tls->private_key, (dir_ / "key.pem").string());
  EXPECT_EQ(config->listen.tls->client_ca, (dir_ / "ca.pem").string());
  EXPECT_EQ(config->listen.max_message_bytes, 65536);
  EXPECT_EQ(config->limits.max_message_bytes, 65536);
  EXPECT_EQ(config->listen.max_concurrent_streams, 5);
  EXPECT_EQ(config->limits.max_concurrent_requests, 6);
  EXPECT_EQ(config->limits.max_answers, 7);
  EXPECT_EQ(config->limits.max_logprobs, 8);
  EXPECT_EQ(config->limits.max_stop_strings, 9);
  EXPECT_EQ(config->listen.keepalive_time, absl::Minutes(1));
  EXPECT_EQ(config->listen.keepalive_timeout, absl::Seconds(2));
  EXPECT_EQ(config->listen.min_client_ping_interval, absl::Seconds(3));
  EXPECT_EQ(config->drain_grace, absl::Seconds(90));
  EXPECT_EQ(config->limits.retry_delay, absl::Milliseconds(250));
  EXPECT_TRUE(config->listen.remote_control);
  EXPECT_EQ(config->log_level, Severity::kDebug);
  EXPECT_EQ(config->log_format, LogFormat::kJson);
}

TEST_F(ServerConfigTest, TheTokenizerOfTheCheckpointIsFound) {
  Touch("models/tiny/tokenizer.json");
  const auto config = Parse("model { path: \"models/tiny\" }");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->tokenizer_path,
            (dir_ / "models/tiny/tokenizer.json").string());
  std::filesystem::remove(dir_ / "models/tiny/tokenizer.json");
}

TEST_F(ServerConfigTest, AModelsNameIsPrintable) {
  for (const char* name : {R"(mod\351l)", R"(a\nb)", R"(\302\205)"}) {
    ExpectError(
        absl::StrCat("model { path: \"models/tiny\"\n name: \"", name, "\" }"),
        2, "model.name gives the model the name");
  }
  std::filesystem::create_directories(dir_ / "models" / "mod\xe9l");
  ExpectError("model { path: \"models/mod\\351l\" }", 1, "set model.name");
  const auto renamed =
      Parse("model { path: \"models/mod\\351l\" name: \"mod\xc3\xa9l\" }");
  ASSERT_TRUE(renamed.ok()) << renamed.status();
  EXPECT_EQ(renamed->model_name, "mod\xc3\xa9l");
}

TEST_F(ServerConfigTest, ErrorsNameFileLineAndField) {
  const std::string model = "model { path: \"models/tiny\" }\n";
  ExpectError(model + "\nengine { blocksize: 3 }", 3, "blocksize");
  ExpectError(model + "engine {\n block_size: 0 }", 3,
              "engine.block_size is 0; it must be in [4, 1024]");
  ExpectError(model + "engine { block_size: 20 }", 2,
              "engine.block_size is 20; it must be a power of two");
  ExpectError(model + "engine { block_size: -1 }", 2, "block_size: -1");
  ExpectError(model + "engine { block_size: 1 block_size: 2 }", 2,
              "block_size");
  ExpectError(model + "engine { stall_timeout: \"soon\" }", 2,
              "engine.stall_timeout is \"soon\"");
  ExpectError(model + "engine { stall_timeout: \"1ms\" }", 2, "[1s, 24h]");
  ExpectError(model + "engine { max_step_tokens: 8 prefill_chunk_tokens: 9 }",
              2, "engine.prefill_chunk_tokens is 9");
  ExpectError(model + "engine { sampling_defaults { temperature: nan } }", 2,
              "engine.sampling_defaults.temperature is nan");
  ExpectError(model + "engine { sampling_defaults { top_p: 0 } }", 2,
              "engine.sampling_defaults.top_p");
  ExpectError(model + "server { port: 65536 }", 2, "server.port is 65536");
  ExpectError(model + "log { level: LOUD }", 2, "LOUD");
  ExpectError(model + "log { level: 77 }", 2,
              "log.level is 77, no value of Level");
  ExpectError("model { path: \"models/tiny\"\n checkpoint { qkv_layout: 9 } }",
              2, "model.checkpoint.qkv_layout is 9");
  ExpectError("model {\n path: \"models/none\" }", 2,
              "model.path is \"" + (dir_ / "models/none").string() +
                  "\", which does not exist");
  ExpectError("model { path: \"models/tiny\"\n tokenizer: \"none.json\" }", 2,
              "model.tokenizer");
}

TEST_F(ServerConfigTest, ErrorsOfParallelNameTheEntry) {
  const std::string model = "model { path: \"models/tiny\" }\n";
  ExpectError(model + "parallel {\n tensor_degree: 0 }", 3,
              "parallel.tensor_degree is 0; it must be in [1, 65536]");
  ExpectError(model + "parallel { node_shape: \"4\" }", 2,
              "parallel.node_shape is \"4\"; it must be \"NxG\"");
  ExpectError(model + "parallel { exchange: 9 }", 2, "parallel.exchange is 9");
  ExpectError(model + "parallel { watchdog: \"1ms\" }", 2,
              "parallel.watchdog is 1ms; it must be in [1s, 1h]");
  EXPECT_TRUE(absl::StrContains(
      Parse(model + "parallel { moe_layers { expert_degree: 2 } }")
          .status()
          .message(),
      "parallel.moe_layers[0].layer is required"));
  ExpectError(model +
                  "parallel { moe_layers { layer: 1 }\n"
                  "moe_layers {\n layer: 1 } }",
              4, "parallel.moe_layers[1].layer is 1, as in an entry before");
  ExpectError(model + "parallel { moe_layers { layer: 1\n slice_degree: 0 } }",
              3, "parallel.moe_layers[0].slice_degree is 0");
}

TEST_F(ServerConfigTest, RanksAndMachinesMustFitEachOther) {
  const std::string model = "model { path: \"models/tiny\" }\n";
  ExpectError(model + "parallel { world_size: 4\n nodes: 8 }", 3,
              "parallel.nodes is 8, more machines than there are ranks: "
              "parallel.world_size is 4");
  ExpectError(model + "parallel { world_size: 4\n node_shape: \"2x3\" }", 3,
              "parallel.node_shape is \"2x3\", which is 6 ranks; "
              "parallel.world_size is 4");
  ExpectError(model + "parallel { node_shape: \"65536x65536\" }", 2,
              "which is 4294967296 ranks; there can be 65536");
  EXPECT_TRUE(
      Parse(model + "parallel { world_size: 4 nodes: 4 node_shape: \"2x2\" }")
          .ok());
  EXPECT_TRUE(Parse(model + "parallel { nodes: 8 node_shape: \"2x3\" }").ok());
}

TEST_F(ServerConfigTest, ErrorsOfCostsNameTheField) {
  const std::string model = "model { path: \"models/tiny\" }\n";
  ExpectError(model + "parallel { decode_batch: 0 }", 2,
              "parallel.decode_batch is 0; it must be in [1, 1048576]");
  ExpectError(model + "parallel { costs {\n in_node { latency: \"far\" } } }",
              3, "parallel.costs.in_node.latency is \"far\"");
  ExpectError(model + "parallel { costs { across { per_message: \"-1us\" } } }",
              2, "parallel.costs.across.per_message is -1us; it must be in");
  ExpectError(model + "parallel { costs { across { bytes_per_second: 0 } } }",
              2,
              "parallel.costs.across.bytes_per_second is 0; it must be in "
              "[1000, 1e+18]");
  ExpectError(model + "parallel { costs { copy_bytes_per_second: -1 } }", 2,
              "parallel.costs.copy_bytes_per_second is -1");
  ExpectError(model + "parallel { costs { read_bytes_per_second: inf } }", 2,
              "parallel.costs.read_bytes_per_second is inf");
  ExpectError(model + "parallel { costs { flops_per_second: nan } }", 2,
              "parallel.costs.flops_per_second is nan");
}

TEST_F(ServerConfigTest, CostsAsTheLogTellsThemAreTakenAsTheyWere) {
  MachineCosts measured;
  measured.exchange.in_node = {absl::Nanoseconds(1234.5),
                               absl::Nanoseconds(87.6), 5.4321e9};
  measured.exchange.across = {absl::Microseconds(51.3), absl::ZeroDuration(),
                              123456789.0};
  measured.exchange.copy_bytes_per_second = 0.98765e10;
  measured.read_bytes_per_second = 14.7e9;
  measured.flops_per_second = 1.0 / 3 * 1e12;
  const std::string text = measured.Rounded().ToText();
  const auto config =
      Parse("model { path: \"models/tiny\" }\nparallel { " + text + " }");
  ASSERT_TRUE(config.ok()) << config.status();
  const MachineCosts again = MachineCosts().With(config->engine.parallel.costs);
  EXPECT_EQ(again.ToText(), text);
  const MachineCosts rounded = measured.Rounded();
  EXPECT_EQ(again.exchange.in_node.base, rounded.exchange.in_node.base);
  EXPECT_EQ(again.exchange.across.bytes_per_second,
            rounded.exchange.across.bytes_per_second);
  EXPECT_EQ(again.flops_per_second, rounded.flops_per_second);
}

TEST_F(ServerConfigTest, EndOfTextIdsAreTokenIds) {
  ExpectError("model { path: \"models/tiny\"\n eos_token_ids: 4294967295 }", 2,
              "model.eos_token_ids holds 4294967295, which is no token id");
}

TEST_F(ServerConfigTest, TlsNeedsCertificateAndKey) {
  const absl::Status status =
      Parse(R"pb(model { path: "models/tiny" }
                 server { tls { certificate: "x" } })pb")
          .status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_TRUE(
      absl::StrContains(status.message(), "server.tls.private_key is required"))
      << status;
}

TEST_F(ServerConfigTest, AModelIsRequired) {
  const absl::Status status = Parse("").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "model.path is required"));
}

TEST_F(ServerConfigTest, ADirectoryIsNoFile) {
  const absl::Status status = LoadServerConfig(dir_.string()).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "cannot read")) << status;
}

TEST_F(ServerConfigTest, AMissingFileIsNotFound) {
  const absl::Status status =
      LoadServerConfig((dir_ / "none.textproto").string()).status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "none.textproto"));
}

}  // namespace
}  // namespace moe

"""GPT with DeepSpeed PR-MoE layers, its parameters named as Megatron's.

Pre-LN, learned positions, tanh GELU, tied embedding. Layer i (0-based) is a
residual MoE layer iff i % 2 == 1. Symbols in shapes: batch, seq, hidden,
heads, head_dim, ffn, vocab.
"""

import argparse
import dataclasses

from deepspeed.moe.layer import MoE
import torch
from torch import nn
from torch.nn import functional as F

EXPERT_INTERVAL = 2


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Shape of one model; `num_experts` has one entry per MoE layer."""

  num_layers: int
  num_experts: tuple[int, ...]
  hidden: int = 192
  num_heads: int = 6
  max_positions: int = 512
  vocab: int = 4096
  dropout: float = 0.0

  @property
  def ffn(self):
    return 4 * self.hidden


TEACHER = ModelConfig(num_layers=8, num_experts=(4, 4, 8, 8))
STUDENT = ModelConfig(num_layers=6, num_experts=(4, 8, 8))


class Attention(nn.Module):
  """Causal attention; QKV rows are head * 3d + {q, k, v} * d + channel."""

  def __init__(self, config):
    super().__init__()
    self.num_heads = config.num_heads
    self.query_key_value = nn.Linear(config.hidden, 3 * config.hidden)
    self.dense = nn.Linear(config.hidden, config.hidden)

  def forward(self, x):  # [batch, seq, hidden] -> same
    batch, seq, hidden = x.shape
    qkv = self.query_key_value(x).view(batch, seq, self.num_heads, 3, -1)
    q, k, v = (t.transpose(1, 2) for t in qkv.unbind(3))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return self.dense(y.transpose(1, 2).reshape(batch, seq, hidden))


class Mlp(nn.Module):
  """Two linear layers with a tanh GELU; also the form of every expert."""

  def __init__(self, config):
    super().__init__()
    self.dense_h_to_4h = nn.Linear(config.hidden, config.ffn)
    self.dense_4h_to_h = nn.Linear(config.ffn, config.hidden)

  def forward(self, x):  # [..., hidden] -> same
    return self.dense_4h_to_h(F.gelu(self.dense_h_to_4h(x), approximate='tanh'))


def _residual_moe(config, num_experts):
  """DeepSpeed's residual MoE: top-1, dropless, nothing random in it."""
  return MoE(config.hidden, Mlp(config), num_experts=num_experts, k=1,
             min_capacity=0, use_residual=True, noisy_gate_policy=None,
             drop_tokens=False, use_rts=False)


class Layer(nn.Module):
  """One transformer layer; `num_experts` None makes its FFN dense."""

  def __init__(self, config, num_experts):
    super().__init__()
    self.input_layernorm = nn.LayerNorm(config.hidden)
    self.self_attention = Attention(config)
    self.post_attention_layernorm = nn.LayerNorm(config.hidden)
    self.mlp = (Mlp(config) if num_experts is None
                else _residual_moe(config, num_experts))
    self.dropout = config.dropout

  def forward(self, x):  # [batch, seq, hidden] -> (same, aux loss)
    drop = lambda t: F.dropout(t, self.dropout, self.training)
    x = x + drop(self.self_attention(self.input_layernorm(x)))
    m = self.post_attention_layernorm(x)
    if isinstance(self.mlp, MoE):
      y, aux_loss, _ = self.mlp(m)
    else:
      y, aux_loss = self.mlp(m), 0.0
    return x + drop(y), aux_loss


class Embedding(nn.Module):
  """Word plus learned position embedding."""

  def __init__(self, config):
    super().__init__()
    self.word_embeddings = nn.Embedding(config.vocab, config.hidden)
    self.position_embeddings = nn.Embedding(config.max_positions, config.hidden)

  def forward(self, tokens):  # [batch, seq] -> [batch, seq, hidden]
    positions = torch.arange(tokens.shape[1], device=tokens.device)
    return self.word_embeddings(tokens) + self.position_embeddings(positions)


class Encoder(nn.Module):
  """The layers and the final layer norm."""

  def __init__(self, config):
    super().__init__()
    experts = iter(config.num_experts)
    self.layers = nn.ModuleList(
        Layer(config, next(experts) if i % EXPERT_INTERVAL == 1 else None)
        for i in range(config.num_layers))
    self.final_layernorm = nn.LayerNorm(config.hidden)


class LanguageModel(nn.Module):
  """Holds what Megatron saves below the name `language_model`."""

  def __init__(self, config):
    super().__init__()
    self.embedding = Embedding(config)
    self.encoder = Encoder(config)


class Gpt(nn.Module):
  """The whole model; call it on token ids to get logits and the aux loss."""

  def __init__(self, config):
    super().__init__()
    self.config = config
    self.language_model = LanguageModel(config)
    self.universal_checkpoint_info = universal_checkpoint_info(config)
    self._initialize()

  def _initialize(self):
    """Scaled normal weights; every expert is drawn anew.

    DeepSpeed copies one expert to all, which would leave only the gate to
    tell them apart.
    """
    for module in self.modules():
      if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.5 * module.in_features**-0.5)
        if module.bias is not None:
          nn.init.zeros_(module.bias)
      elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    depth_scale = (2 * self.config.num_layers)**-0.5
    for name, weight in self.named_parameters():
      if name.endswith(('attention.dense.weight', 'dense_4h_to_h.weight')):
        weight.data.mul_(depth_scale)

  def forward(self, tokens):  # [batch, seq] -> ([batch, seq, vocab], scalar)
    embedding = self.language_model.embedding
    encoder = self.language_model.encoder
    x = F.dropout(embedding(tokens), self.config.dropout, self.training)
    aux_losses = []
    for layer in encoder.layers:
      x, aux_loss = layer(x)
      aux_losses.append(aux_loss)
    logits = F.linear(encoder.final_layernorm(x),
                      embedding.word_embeddings.weight)
    return logits, sum(aux_losses)


def init_student_from_teacher(student, teacher, layer_map):
  """Copies teacher layer `layer_map[i]` into student layer i, and the rest.

  Mapped layers must be of one kind and have the same number of experts.
  """
  target, source = student.language_model, teacher.language_model
  target.embedding.load_state_dict(source.embedding.state_dict())
  target.encoder.final_layernorm.load_state_dict(
      source.encoder.final_layernorm.state_dict())
  for layer, index in zip(target.encoder.layers, layer_map, strict=True):
    layer.load_state_dict(source.encoder.layers[index].state_dict())


def megatron_args(config):
  """The argument namespace that Megatron would have saved with the model."""
  return argparse.Namespace(
      num_layers=config.num_layers,
      hidden_size=config.hidden,
      ffn_hidden_size=config.ffn,
      num_attention_heads=config.num_heads,
      num_key_value_heads=config.num_heads,
      kv_channels=config.hidden // config.num_heads,
      max_position_embeddings=config.max_positions,
      seq_length=config.max_positions,
      vocab_size=config.vocab,
      padded_vocab_size=config.vocab,
      make_vocab_size_divisible_by=128,
      num_experts=list(config.num_experts),
      expert_interval=EXPERT_INTERVAL,
      mlp_type='residual',
      topk=1,
      moe_train_capacity_factor=1.0,
      moe_eval_capacity_factor=1.0,
      moe_min_capacity=0,
      moe_token_dropping=False,
      moe_top2_2nd_expert_sampling=False,
      moe_loss_coeff=0.01,
      moe_expert_parallel_size=1,
      enable_expert_tensor_parallelism=False,
      layernorm_epsilon=1e-5,
      normalization='layernorm',
      apply_layernorm_1p=False,
      apply_residual_connection_post_layernorm=False,
      apply_query_key_layer_scaling=False,
      bias_gelu_fusion=True,
      openai_gelu=False,
      onnx_safe=None,
      swiglu=False,
      squared_relu=False,
      add_bias_linear=True,
      add_position_embedding=True,
      use_rotary_position_embeddings=False,
      rotary_percent=1.0,
      rope_theta=10000,
      untie_embeddings_and_output_weights=False,
      tensor_model_parallel_size=1,
      pipeline_model_parallel_size=1,
      params_dtype=torch.float16,
      fp16=True,
      bf16=False)


def client_state(config, iteration, tokens):
  """What Megatron hands to DeepSpeed's save_checkpoint beside the weights."""
  return {
      'args': megatron_args(config),
      'checkpoint_version': 3.0,
      'iteration': iteration,
      'tokens': tokens,
  }


def universal_checkpoint_info(config):
  """Megatron's vocabulary note; DeepSpeed saves this attribute of a module."""
  return {
      'universal_checkpoint_version': 0.2,
      'original_vocab_size': config.vocab,
      'padded_vocab_size': config.vocab,
  }

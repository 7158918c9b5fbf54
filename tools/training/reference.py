"""Reads a PR-MoE checkpoint directory and runs it, without DeepSpeed.

An independent, plain forward in fp32: it shares no code with the model that
was trained, so that it also checks what was saved. It covers what this folder
writes: pre-LN, tanh GELU, learned positions, top-1 residual MoE, tied output.
Symbols in shapes: batch, seq, hidden, heads, head_dim, tokens, vocab.
"""

import pathlib

import torch
from torch.nn import functional as F


def _load_file(path):
  return torch.load(path, map_location='cpu', weights_only=False)


def _step_dir(checkpoint_dir):
  root = pathlib.Path(checkpoint_dir)
  return root / (root / 'latest').read_text().strip()


def read_state(checkpoint_dir):
  """Everything in the mp_rank file: weights, args, iteration, tokens."""
  return _load_file(_step_dir(checkpoint_dir) / 'mp_rank_00_model_states.pt')


def read_weights(checkpoint_dir):
  """Returns (args namespace, {parameter name: tensor as stored})."""
  state = read_state(checkpoint_dir)
  weights = dict(state['module'])
  for path in _step_dir(checkpoint_dir).glob('layer_*_expert_*_states.pt'):
    weights.update(_load_file(path))
  return state['args'], weights


class ReferenceModel:
  """The weights of one checkpoint, widened to fp32; immutable."""

  def __init__(self, checkpoint_dir):
    self.args, weights = read_weights(checkpoint_dir)
    self._weights = {k: v.float() for k, v in weights.items()}

  def num_parameters(self):
    return sum(w.numel() for w in self._weights.values())

  def _get(self, name):
    return self._weights['language_model.' + name]

  def _linear(self, x, name):
    return F.linear(x, self._get(name + '.weight'), self._get(name + '.bias'))

  def _layer_norm(self, x, name):
    return F.layer_norm(x, x.shape[-1:], self._get(name + '.weight'),
                        self._get(name + '.bias'), self.args.layernorm_epsilon)

  def _attention(self, x, name):  # [batch, seq, hidden] -> same
    batch, seq, hidden = x.shape
    heads = self.args.num_attention_heads
    qkv = self._linear(x, name + '.query_key_value')
    qkv = qkv.view(batch, seq, heads, 3, hidden // heads)
    q, k, v = qkv.permute(3, 0, 2, 1, 4)  # each [batch, heads, seq, head_dim]
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return self._linear(y.transpose(1, 2).reshape(x.shape), name + '.dense')

  def _mlp(self, x, name):
    y = F.gelu(self._linear(x, name + '.dense_h_to_4h'), approximate='tanh')
    return self._linear(y, name + '.dense_4h_to_h')

  def _experts(self, x, name):  # [tokens, hidden] -> same
    """Top-1: the winner's output times its softmax probability."""
    logits = F.linear(x, self._get(name + '.gate.wg.weight'))
    probability, winner = logits.softmax(-1).max(-1)
    out = torch.zeros_like(x)
    for e in range(logits.shape[-1]):
      rows = (winner == e).nonzero().squeeze(1)
      if len(rows):
        expert = f'{name}.experts.deepspeed_experts.{e}'
        out[rows] = self._mlp(x[rows], expert) * probability[rows, None]
    return out

  def _residual_moe(self, x, name):  # [batch, seq, hidden] -> same
    """c[0] * MoE(x) + c[1] * MLP(x), c a softmax of two logits per token."""
    c = self._linear(x, name + '.coefficient').softmax(-1)
    moe = self._experts(x.flatten(0, 1), name + '.deepspeed_moe').view(x.shape)
    return c[..., :1] * moe + c[..., 1:] * self._mlp(x, name + '.mlp')

  @torch.no_grad()
  def logits(self, tokens):  # [batch, seq] -> [batch, seq, vocab]
    positions = torch.arange(tokens.shape[1])
    words = self._get('embedding.word_embeddings.weight')
    x = words[tokens] + self._get(
        'embedding.position_embeddings.weight')[positions]
    for i in range(self.args.num_layers):
      layer = f'encoder.layers.{i}'
      x = x + self._attention(self._layer_norm(x, layer + '.input_layernorm'),
                              layer + '.self_attention')
      m = self._layer_norm(x, layer + '.post_attention_layernorm')
      is_moe = (i + 1) % self.args.expert_interval == 0
      ffn = self._residual_moe if is_moe else self._mlp
      x = x + ffn(m, layer + '.mlp')
    return F.linear(self._layer_norm(x, 'encoder.final_layernorm'), words)

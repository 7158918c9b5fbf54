"""Muon for the weight matrices, AdamW for everything else.

Muon (Jordan 2024) replaces the momentum of a matrix by the nearest
semi-orthogonal matrix. Matrices of one shape are stacked, so that all experts
are orthogonalised in one batched product.
"""

import torch

# Quintic Newton-Schulz coefficients, tuned by Jordan for a steep slope at 0.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalize(m, steps=5):
  """Approximate U V^T of each matrix of `m` [count, rows, columns]."""
  tall = m.shape[1] > m.shape[2]
  x = m.transpose(1, 2) if tall else m
  x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
  for _ in range(steps):
    gram = x @ x.transpose(1, 2)
    poly = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
    x = torch.baddbmm(x, poly, x, beta=_A)
  return x.transpose(1, 2) if tall else x


class MuonAdamW(torch.optim.Optimizer):
  """One optimizer over both kinds of groups; a group says `muon` True/False.

  DeepSpeed drives a single client optimizer, hence no pair of optimizers.
  """

  @torch.no_grad()
  def step(self, closure=None):
    for group in self.param_groups:
      params = [p for p in group['params'] if p.grad is not None]
      if not params:
        continue
      if group['muon']:
        self._muon(params, group)
      else:
        self._adamw(params, group)

  def _muon(self, params, group):
    """`params` all have one shape [rows, columns]."""
    rows, columns = params[0].shape
    for p in params:
      if 'momentum' not in self.state[p]:
        self.state[p]['momentum'] = torch.zeros_like(p)
    grads = [p.grad for p in params]
    momenta = [self.state[p]['momentum'] for p in params]
    beta = group['betas'][0]
    torch._foreach_lerp_(momenta, grads, 1 - beta)
    nesterov = torch._foreach_lerp(grads, momenta, beta)
    updates = orthogonalize(torch.stack(nesterov))
    torch._foreach_mul_(params, 1 - group['lr'] * group['weight_decay'])
    scale = max(1.0, rows / columns)**0.5
    torch._foreach_add_(params, list(updates.unbind(0)),
                        alpha=-group['lr'] * scale)

  def _adamw(self, params, group):
    beta1, beta2 = group['betas']
    for p in params:
      state = self.state[p]
      if not state:
        state.update(step=0, mean=torch.zeros_like(p),
                     square=torch.zeros_like(p))
      state['step'] += 1
      state['mean'].lerp_(p.grad, 1 - beta1)
      state['square'].lerp_(p.grad.square(), 1 - beta2)
      mean = state['mean'] / (1 - beta1**state['step'])
      square = state['square'] / (1 - beta2**state['step'])
      p.mul_(1 - group['lr'] * group['weight_decay'])
      p.addcdiv_(mean, square.sqrt_().add_(1e-8), value=-group['lr'])


def _is_matrix(name, weight):
  return (weight.ndim == 2 and 'embedding' not in name
          and 'gate.wg' not in name and 'coefficient' not in name)


def _is_expert(weight):
  """DeepSpeed marks the parameters that are not shared by all ranks."""
  return not getattr(weight, 'allreduce', True)


def build_optimizer(model, muon_lr, adam_lr, weight_decay):
  """Groups: matrices by shape, embeddings and gates, experts' biases."""
  matrices, others = {}, {}
  for name, weight in model.named_parameters():
    if _is_matrix(name, weight):
      matrices.setdefault((_is_expert(weight), weight.shape), []).append(weight)
    else:
      others.setdefault(_is_expert(weight), []).append(weight)
  groups = [
      dict(params=params, moe=moe, muon=True, lr=muon_lr, betas=(0.95, 0.0),
           weight_decay=weight_decay) for (moe, _), params in matrices.items()
  ] + [
      dict(params=params, moe=moe, muon=False, lr=adam_lr, betas=(0.9, 0.95),
           weight_decay=0.0) for moe, params in others.items()
  ]
  for group in groups:
    group['peak_lr'] = group['lr']
    if group['moe']:
      group['name'] = group['params'][0].group_name
  return MuonAdamW(groups, dict())

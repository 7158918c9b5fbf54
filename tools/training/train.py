"""Trains the PR-MoE teacher or, with --teacher, distils the MoS student.

Both go through one loop on a DeepSpeed engine; DeepSpeed writes the
checkpoints. The student starts from layers of the teacher; its loss is
CE + KL(teacher || student) until KL_UNTIL of the budget, then CE alone
(staged distillation, section 4 of the DeepSpeed-MoE paper).
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib

os.environ.setdefault('DS_ACCELERATOR', 'cpu')
for _name, _value in dict(MASTER_ADDR='127.0.0.1', MASTER_PORT='29511',
                          RANK='0', WORLD_SIZE='1', LOCAL_RANK='0').items():
  os.environ.setdefault(_name, _value)

# pylint: disable=wrong-import-position
import deepspeed
import tokenizers
import torch
from torch.nn import functional as F

import corpus
import model as models
import optimizer as optimizers
import reference
import schedule

SEQ = 512
AUX_LOSS_COEFF = 0.01
KL_UNTIL = 0.6
# Teacher layers that the student starts from: it leaves out one dense and one
# 4-expert layer in the middle, as the paper drops layers of the narrow tier.
STUDENT_LAYERS = (0, 1, 4, 5, 6, 7)


def parse_args():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--corpus', required=True)
  parser.add_argument('--tokenizer', required=True)
  parser.add_argument('--output', type=pathlib.Path, required=True)
  parser.add_argument('--teacher', type=pathlib.Path,
                      help='teacher checkpoint directory; trains the student')
  parser.add_argument('--steps', type=int, help='length of the run')
  parser.add_argument('--minutes', type=float, help='or its length in time')
  parser.add_argument('--batch', type=int, default=8)
  parser.add_argument('--muon_lr', type=float, default=0.02)
  parser.add_argument('--adam_lr', type=float, default=3e-3)
  parser.add_argument('--weight_decay', type=float, default=0.1)
  parser.add_argument('--dropout', type=float, default=0.0)
  parser.add_argument('--save_every', type=int, default=250)
  parser.add_argument('--seed', type=int, default=1)
  parser.add_argument('--resume', action='store_true')
  return parser.parse_args()


def build_model(args):
  config = models.STUDENT if args.teacher else models.TEACHER
  config = dataclasses.replace(config, dropout=args.dropout)
  return models.Gpt(config)


def build_engine(model, args):
  """A one-rank DeepSpeed engine without ZeRO."""
  optimizer = optimizers.build_optimizer(
      model, args.muon_lr, args.adam_lr, args.weight_decay)
  config = {
      'train_batch_size': args.batch,
      'train_micro_batch_size_per_gpu': args.batch,
      'zero_optimization': {'stage': 0},
      'zero_allow_untested_optimizer': True,
      'steps_per_print': 10**9,
  }
  return deepspeed.initialize(model=model, optimizer=optimizer, config=config,
                              dist_init_required=False)[0]


def cross_entropy(logits, targets):
  """Mean nll in nats; logits [batch, seq, vocab], targets [batch, seq]."""
  return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def kl_from_teacher(teacher_logits, logits):
  """Mean over tokens of KL(teacher || student)."""
  return F.kl_div(logits.log_softmax(-1).flatten(0, 1),
                  teacher_logits.log_softmax(-1).flatten(0, 1),
                  reduction='batchmean', log_target=True)


def held_out_sample(books, tokenizer, count=48):
  """Every n-th held-out window, for the curve only: [count, SEQ + 1]."""
  windows = []
  for book in books:
    ids = tokenizer.encode(book.held_out).ids
    windows += [ids[i:i + SEQ + 1] for i in range(0, len(ids) - SEQ, SEQ)]
  stride = max(1, len(windows) // count)
  return torch.tensor(windows[::stride][:count])


@torch.no_grad()
def evaluate(model, windows):
  """Mean nll in nats on `windows` [count, SEQ + 1]."""
  model.eval()
  losses = [cross_entropy(model(w[:, :-1])[0], w[:, 1:]).item()
            for w in windows.split(8)]
  model.train()
  return sum(losses) / len(losses)


def train_step(engine, teacher, batch, progress):
  """One update; returns the CE of the batch and the aux loss."""
  inputs, targets = batch[:, :-1].contiguous(), batch[:, 1:]
  logits, aux_loss = engine(inputs)
  ce = cross_entropy(logits, targets)
  loss = ce + AUX_LOSS_COEFF * aux_loss
  if teacher and progress < KL_UNTIL:
    loss = loss + kl_from_teacher(teacher.logits(inputs), logits)
  engine.backward(loss)
  for group in engine.optimizer.param_groups:
    group['lr'] = group['peak_lr'] * schedule.lr_factor(progress)
  engine.step()
  return ce.item(), aux_loss.item()


def save(engine, args, step, seconds):
  """Lets DeepSpeed write weights, optimizer and client state."""
  tokens = step * args.batch * SEQ
  state = models.client_state(engine.module.config, step, tokens)
  engine.save_checkpoint(str(args.output), client_state=state | {
      'seconds': seconds})


def start(engine, args):
  """Returns (step, seconds already spent), resuming if asked to."""
  if args.resume and (args.output / 'latest').exists():
    _, state = engine.load_checkpoint(str(args.output))
    return state['iteration'], state['seconds']
  return 0, 0.0


def init_student(model, teacher_dir):
  """Starts the student from the layers STUDENT_LAYERS of the teacher."""
  teacher = models.Gpt(models.TEACHER)
  teacher.load_state_dict(reference.read_weights(teacher_dir)[1])
  models.init_student_from_teacher(model, teacher, STUDENT_LAYERS)


class Log:
  """Appends JSON records to `log.jsonl` of the run."""

  def __init__(self, output):
    output.mkdir(parents=True, exist_ok=True)
    self._file = open(output / 'log.jsonl', 'a', encoding='utf-8')

  def write(self, step, budget, **values):
    record = dict(step=step, minutes=round(budget.seconds / 60, 2), **values)
    print(json.dumps(record), file=self._file, flush=True)


def run(engine, teacher, stream, held_out, args):
  """Trains until the budget is spent; saves at intervals and at the end."""
  step, seconds = start(engine, args)
  batches = corpus.batches(stream, SEQ, args.batch, args.seed, skip=step)
  budget = schedule.Budget(args.steps, args.minutes, seconds)
  log, recent = Log(args.output), []
  engine.train()
  while True:
    progress = budget.progress(step)
    done = progress >= 1
    if done or (step and step % args.save_every == 0):
      log.write(step, budget, held_out=evaluate(engine.module, held_out))
      save(engine, args, step, budget.seconds)
    if done:
      return
    batch = torch.from_numpy(next(batches))
    ce, aux_loss = train_step(engine, teacher, batch, progress)
    if not math.isfinite(ce):
      raise FloatingPointError(f'loss is {ce} at step {step}')
    recent.append(ce)
    step += 1
    if step % 10 == 0:
      log.write(step, budget, train=sum(recent) / len(recent), aux=aux_loss)
      recent.clear()


def main():
  args = parse_args()
  torch.manual_seed(args.seed)
  deepspeed.init_distributed('gloo')
  tokenizer = tokenizers.Tokenizer.from_file(args.tokenizer)
  books = corpus.read_books(args.corpus)
  model = build_model(args)
  teacher = None
  if args.teacher:
    init_student(model, args.teacher)
    teacher = reference.ReferenceModel(args.teacher)
  run(build_engine(model, args), teacher,
      corpus.encode_training_books(books, tokenizer),
      held_out_sample(books, tokenizer), args)


if __name__ == '__main__':
  main()

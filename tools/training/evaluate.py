"""Bits per byte of a checkpoint on the held-out tail of every book.

Each token is predicted from at least STRIDE tokens of context (fewer only at
the start of a tail): windows of the model's full length advance by STRIDE and
only their last STRIDE tokens count.
"""

import argparse
import json
import math

import tokenizers
import torch
from torch.nn import functional as F

import corpus
import reference

STRIDE = 256


def book_nll(model, ids):
  """Summed nll in nats of `ids[1:]`; `ids[0]` is the end-of-text token."""
  seq = model.args.seq_length
  total, scored = 0.0, 1
  while scored < len(ids):
    start = max(0, min(scored + STRIDE, len(ids)) - seq - 1)
    window = torch.tensor(ids[start:start + seq + 1])
    logits = model.logits(window[None, :-1])[0]
    nll = F.cross_entropy(logits, window[1:], reduction='none')
    total += nll[scored - start - 1:].double().sum().item()
    scored = start + len(window)
  return total


def evaluate(model, tokenizer, books):
  """Returns {book: {bytes, tokens, nll, bits_per_byte}} with a 'total'."""
  end = tokenizer.token_to_id(corpus.END_OF_TEXT)
  report = {}
  for book in books:
    ids = tokenizer.encode(book.held_out).ids
    report[book.name] = dict(bytes=len(book.held_out.encode()),
                             tokens=len(ids), nll=book_nll(model, [end] + ids))
  report['total'] = {key: sum(row[key] for row in report.values())
                     for key in ('bytes', 'tokens', 'nll')}
  for row in report.values():
    row['bits_per_byte'] = row['nll'] / row['bytes'] / math.log(2)
    row['mean_nll'] = row['nll'] / row['tokens']
  return report


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--corpus', required=True)
  parser.add_argument('--tokenizer', required=True)
  parser.add_argument('--checkpoint', required=True)
  parser.add_argument('--output', help='also write the report as JSON')
  args = parser.parse_args()
  tokenizer = tokenizers.Tokenizer.from_file(args.tokenizer)
  model = reference.ReferenceModel(args.checkpoint)
  report = evaluate(model, tokenizer, corpus.read_books(args.corpus))
  print(f'{model.num_parameters()} parameters')
  for name, row in report.items():
    print(f'{name:28} {row["bytes"]:8} bytes {row["tokens"]:7} tokens  '
          f'{row["bits_per_byte"]:.4f} bits/byte  '
          f'{row["mean_nll"]:.4f} nats/token')
  if args.output:
    with open(args.output, 'w', encoding='utf-8') as file:
      json.dump(report, file, indent=1)


if __name__ == '__main__':
  main()

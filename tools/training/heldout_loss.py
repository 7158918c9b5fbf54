"""Writes the golden losses that an engine must reproduce from shipped files.

Held-out excerpts with their token ids and the mean nll in nats of tokens
1..n-1 given those before them, computed in fp32 from the fp16 weights.
"""

import argparse
import json
import pathlib

import tokenizers
import torch
from torch.nn import functional as F

import corpus
import reference

EXCERPTS_PER_BOOK = 2
LENGTHS = (400, 257, 384, 128, 33, 400, 199)


def excerpt(text, length, tokenizer):
  """At most `length` ids from the start of `text`, such that decoding and
  encoding give them back (a cut inside a word or a character would not)."""
  ids = tokenizer.encode(text).ids[:length]
  while tokenizer.encode(tokenizer.decode(ids)).ids != ids:
    ids.pop()
  return ids


def excerpts(books, tokenizer):
  """Yields (book name, token ids): some of every book, of varied length."""
  count = 0
  for book in books:
    for i in range(EXCERPTS_PER_BOOK):
      at = len(book.held_out) * i // EXCERPTS_PER_BOOK
      start = book.held_out.index('\n', at) + 1 if i else 0
      length = LENGTHS[count % len(LENGTHS)]
      yield book.name, excerpt(book.held_out[start:], length, tokenizer)
      count += 1


def mean_nll(model, ids):
  """Mean nll in nats of ids[1:] in their context."""
  tokens = torch.tensor(ids)
  logits = model.logits(tokens[None, :-1])[0]
  return F.cross_entropy(logits.double(), tokens[1:]).item()


def golden(model_dirs, books):
  """`total` is the mean over all predicted tokens, not over excerpts."""
  names = [path.name for path in model_dirs]
  models = [reference.ReferenceModel(path) for path in model_dirs]
  tokenizer = tokenizers.Tokenizer.from_file(
      str(model_dirs[0] / 'tokenizer.json'))
  rows = [dict(book=book, text=tokenizer.decode(ids), tokens=ids,
               mean_nll={n: mean_nll(m, ids) for n, m in zip(names, models)})
          for book, ids in excerpts(books, tokenizer)]
  predicted = sum(len(row['tokens']) - 1 for row in rows)
  total = {n: sum(row['mean_nll'][n] * (len(row['tokens']) - 1)
                  for row in rows) / predicted for n in names}
  return dict(unit='nats per predicted token', predicted_tokens=predicted,
              total=total, excerpts=rows)


def dump(data, path):
  """Indented JSON, but each token list on one line."""
  rows = data.pop('excerpts')
  head = json.dumps(data, indent=1)[:-2]
  body = ',\n'.join(json.dumps(row) for row in rows)
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(f'{head},\n "excerpts": [\n{body}\n]\n}}\n', encoding='utf-8')


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--corpus', required=True)
  parser.add_argument('--model', type=pathlib.Path, action='append',
                      required=True, help='shipped directory; repeat')
  parser.add_argument('--output', type=pathlib.Path, required=True)
  args = parser.parse_args()
  dump(golden(args.model, corpus.read_books(args.corpus)), args.output)


if __name__ == '__main__':
  main()

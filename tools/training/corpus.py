"""Reads a directory of plain-text books and splits off their held-out tails.

The split is a pure function of the files: every book keeps its last
`HELD_OUT_SHARE` of bytes, cut at the start of a line, for evaluation. Neither
the tokenizer nor the models ever see those tails.
"""

import dataclasses
import pathlib

import numpy as np

HELD_OUT_SHARE = 0.04
END_OF_TEXT = '<|endoftext|>'


@dataclasses.dataclass(frozen=True)
class Book:
  """One work: its file stem and the two parts of its text."""

  name: str
  train: str
  held_out: str


def _split(name, text):
  """Cuts `text` at the first line start in its last HELD_OUT_SHARE bytes."""
  data = text.encode()
  at = data.index(b'\n', int(len(data) * (1 - HELD_OUT_SHARE))) + 1
  return Book(name, data[:at].decode(), data[at:].decode())


def read_books(corpus_dir):
  """Returns the books of `corpus_dir`/*.txt in the order of their names."""
  paths = sorted(pathlib.Path(corpus_dir).glob('*.txt'))
  if not paths:
    raise FileNotFoundError(f'{corpus_dir}: no *.txt files')
  return [_split(p.stem, p.read_text(encoding='utf-8').replace('\r\n', '\n'))
          for p in paths]


def encode_training_books(books, tokenizer):
  """Token ids of each training part, `END_OF_TEXT` on both sides.

  Returns a list of int64 arrays [tokens].
  """
  end = tokenizer.token_to_id(END_OF_TEXT)
  return [np.array([end] + tokenizer.encode(b.train).ids + [end], np.int64)
          for b in books]


def epoch_windows(streams, seq, rng):
  """Shuffled training windows of one pass over the corpus.

  Each stream is cut into windows from a fresh random phase, so that passes
  differ in what starts a window. Returns an int64 array [windows, seq + 1]:
  columns 0..seq-1 are inputs, 1..seq the targets.
  """
  rows = []
  for ids in streams:
    phase = int(rng.integers(0, min(seq, len(ids) - seq - 1)))
    for start in range(phase, len(ids) - seq, seq):
      rows.append(ids[start:start + seq + 1])
  return np.stack(rows)[rng.permutation(len(rows))]


def batches(streams, seq, batch, seed, skip=0):
  """Endless int64 batches [batch, seq + 1], the first `skip` left out.

  The order depends on `seed` alone, so a resumed run continues the very
  sequence that was cut off.
  """
  epoch = 0
  while True:
    windows = epoch_windows(streams, seq, np.random.default_rng([seed, epoch]))
    for at in range(0, len(windows) - batch + 1, batch):
      if skip:
        skip -= 1
        continue
      yield windows[at:at + batch]
    epoch += 1

"""Draws training and held-out loss of teacher and student against tokens."""

import argparse
import json
import pathlib

import matplotlib
matplotlib.use('Agg')
from matplotlib import pyplot as plt  # pylint: disable=wrong-import-position

from train import SEQ


def read_log(run_dir):
  """Records of a run; what a resumed run did again replaces what was there."""
  records = []
  with open(pathlib.Path(run_dir) / 'log.jsonl', encoding='utf-8') as file:
    for line in file:
      record = json.loads(line)
      records = [r for r in records if r['step'] < record['step'] or (
          r['step'] == record['step'] and r.keys() != record.keys())]
      records.append(record)
  return records


def draw_run(axes, records, label, batch):
  """Thin line: mean CE of 10 batches; dots: CE on held-out windows."""
  scale = batch * SEQ / 1e6
  def points(key):  # A run of few steps may have none.
    logged = [(r['step'] * scale, r[key]) for r in records if key in r]
    return zip(*logged) if logged else ((), ())

  line, = axes.plot(*points('train'), linewidth=0.7, alpha=0.7,
                    label=f'{label}, training')
  axes.plot(*points('held_out'), 'o-', markersize=3, color=line.get_color(),
            label=f'{label}, held out')


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--teacher', required=True, help='training directory')
  parser.add_argument('--student', required=True, help='training directory')
  parser.add_argument('--batch', type=int, default=8)
  parser.add_argument('--output', required=True)
  args = parser.parse_args()
  figure, axes = plt.subplots(figsize=(7, 4))
  draw_run(axes, read_log(args.teacher), 'PR-MoE teacher', args.batch)
  draw_run(axes, read_log(args.student), 'MoS student', args.batch)
  axes.set(xlabel='million tokens seen', ylabel='cross-entropy, nats per token',
           ylim=(None, 6.5))
  axes.grid(alpha=0.3)
  axes.legend()
  figure.tight_layout()
  figure.savefig(args.output, dpi=110)


if __name__ == '__main__':
  main()

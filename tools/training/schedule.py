"""Learning-rate schedule over the share of the budget that is spent."""

import time

WARM_UP = 0.02
DECAY_FROM = 0.35


def lr_factor(progress):
  """Warm-up, plateau, linear decay to 0; `progress` in [0, 1]."""
  if progress < WARM_UP:
    return max(progress / WARM_UP, 0.02)
  return min(1.0, (1 - progress) / (1 - DECAY_FROM))


class Budget:
  """Share of the run that is done, by steps, by minutes, or by the larger.

  Minutes make a run end on time on a busy machine; steps make it repeatable.
  """

  def __init__(self, steps, minutes, seconds_before=0.0):
    self._steps = steps
    self._minutes = minutes
    self._start = time.time() - seconds_before

  @property
  def seconds(self):
    return time.time() - self._start

  def progress(self, step):
    shares = [0.0]
    if self._steps:
      shares.append(step / self._steps)
    if self._minutes:
      shares.append(self.seconds / 60 / self._minutes)
    return min(1.0, max(shares))

"""From where on theory allows an escape to be activated: a window in temperature, not a verdict.

Being inside the window is necessary and not enough: 'noise-activated' is said only of escapes
whose controls without noise stay where they are and whose waiting times have no memory.
"""

from spinodal.statistics.mechanism import DRIFT_FROM, SEVERAL

__all__ = ["DRIFT_FROM", "SEVERAL"]

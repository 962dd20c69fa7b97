"""From where on theory allows an escape to be activated: a window in temperature, not a verdict.

Being inside the window is necessary and not enough: 'noise-activated' is said only of escapes
whose controls without noise stay where they are and whose waiting times have no memory.
"""

DRIFT_FROM = 0.7
"""Above this fraction of the thermal spinodal the barrier is nearly gone: a delay is drift."""

SEVERAL = 3.0
"""Free-energy barrier, in units of T, that counts as several T.

A rate exists only if the waiting is long compared with the relaxation inside the well. Their ratio
grows as exp(barrier / T), 20 at 3 T, so that the share of replicas that leave before they have
forgotten their start is some 5 %, less than a hundred waiting times can tell from none. At 2 T it
is 14 %, and the barrier is no higher than thermal fluctuations often are. The price is that the
prefactor of a rate at 3 T is still off its limit by tens of per cent, which is why exact passage
times stand beside every measured one.
"""

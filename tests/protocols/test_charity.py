"""The charity search counts generously but correctly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinodal.protocols import charity
from spinodal.protocols.trapping import preset
from spinodal.theory.free_energy import thermal_spinodal


@given(value=st.floats(1e-3, 1e9), stated=st.floats(1, 1e5), factor=st.floats(1, 10))
def test_a_stated_time_is_met_within_the_factor_and_a_limit_by_anything_later(
    value, stated, factor
):
    late, soon = value >= stated / factor, value <= stated * factor
    assert charity._met(value, stated, "about", factor) == (late and soon)
    assert charity._met(value, stated, "at least", factor) == late
    assert charity._met(value, stated, "at most", factor) == soon


def test_never_escaping_meets_nothing():
    assert not charity._met(None, 7000.0, "at least", 2.0)


def test_no_residual_in_double_precision_waits_the_stated_time():
    traps = preset("quick").minibatch
    for decay in (0.32, 0.03):
        tuning = charity._tuning(traps, decay)
        assert tuning.longest_epochs < charity.STATED[1][1]
        assert tuning.decimals_needed > 15.7
    # The plateau at the separatrix diverges with the rate of the saddle, |mu| / L, per decimal.
    amplitude = 0.4523257049137660
    rate = abs(3 * amplitude**4 - 0.32)
    tuning = charity._tuning(traps, 0.32)
    extra = (5500 - tuning.longest_epochs) / (tuning.decimals_needed + np.log10(2.0**-52))
    assert extra == pytest.approx(np.log(10) / rate / traps.epoch_time, rel=0.01)


@pytest.mark.parametrize("decay", [0.32, 0.03])
def test_the_temperature_for_the_stated_time_lies_below_the_thermal_spinodal(decay):
    settings = preset("quick")
    temperature = charity.stated_temperature(settings.charity, settings.minibatch, decay)
    critical = float(thermal_spinodal(depth=3, signal=0.8, weight_decay=decay, rotations=16))
    assert 0.5 < temperature / critical < 0.98
    # A longer stated time, through a smaller correction, needs less noise.
    slower = settings.charity.model_copy(update={"correction": 1.0})
    assert charity.stated_temperature(slower, settings.minibatch, decay) < temperature

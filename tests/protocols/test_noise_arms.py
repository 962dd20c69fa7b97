"""The comparison of noises: what each noise is, what is counted, and what may be concluded."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas
from pydantic import ValidationError

from spinodal.dynamics.tasks import draw
from spinodal.protocols import noise_arms
from spinodal.protocols.noise_arms_near import waiting
from spinodal.protocols.noise_arms_reading import noise_of_arms, verdict
from spinodal.protocols.noise_arms_records import (
    ARMS,
    ArmNoise,
    NoiseArmsSettings,
    NoiseSetting,
    Record,
    SettingTheory,
)
from spinodal.records import EscapeTimes
from spinodal.report.section import Table
from spinodal.report.sections.noise_arms import section
from spinodal.report.sections.noise_arms_words import SILENT

HOT = NoiseSetting(
    name="hot",
    weight_decay=0.2,
    learning_rate=0.11,
    batch_size=1,
    steps=1200,
    replicas=8,
    isotropic_replicas=24,
    cool_isotropic=200,
    cool_frozen=20,
    near_replicas=16,
)
COLD = NoiseSetting(
    name="cold", weight_decay=0.32, learning_rate=0.08, batch_size=64, steps=200, replicas=8
)
SMALL = NoiseArmsSettings(datasets=4, steps_without_noise=1500, settings=(HOT, COLD))


@pytest.fixture(scope="module")
def record() -> Record:
    return noise_arms.run(SMALL, seed=3)


def test_all_arms_have_the_same_trace_but_the_one_frozen_elsewhere():
    data = [draw(SMALL.task, seed=3, dataset=i) for i in range(2)]
    found = noise_of_arms(SMALL, HOT, data)
    for name in ("minibatch", "fresh", "local", "frozen at rank 1", "isotropic"):
        assert found[name].trace_temperature == pytest.approx(SMALL.temperature(HOT), rel=1e-12)


def test_only_two_noises_reach_weights_that_raise_the_rank():
    data = [draw(SMALL.task, seed=3, dataset=i) for i in range(3)]
    found = noise_of_arms(SMALL, HOT, data)
    for name in SILENT:
        assert found[name].raising_temperature == 0.0
        assert found[name].raising_datasets == 0.0
        assert found[name].directions == 3
    assert found["isotropic"].raising_temperature == SMALL.temperature(HOT)
    assert found["frozen at rank 2"].raising_temperature > SMALL.temperature(HOT)
    assert found["frozen at rank 2"].directions == 4


def test_single_samples_put_the_isotropic_noise_near_the_thermal_spinodal_and_below_it():
    for effort in ("quick", "paper"):
        settings = noise_arms.preset(effort)
        ratio = [settings.temperature(s) / settings.spinodal(s) for s in settings.settings]
        assert ratio == pytest.approx([0.003386, 1.0163, 0.6987], rel=1e-3)


def test_noise_that_is_zero_in_dead_weights_frees_nothing(record: Record):
    for one in record.settings:
        for name in SILENT:
            arm = one.arm(name)
            assert arm.escapes == 0
            assert arm.verdict == "absorbed"
            assert arm.second_end < 1e-12
            assert arm.rate_high == pytest.approx(-np.log(0.05) / arm.exposure)


def test_isotropic_noise_of_the_same_trace_frees_networks_where_it_is_hot_enough(record: Record):
    hot, cold = record.settings
    assert hot.arm("isotropic").escapes > 0
    assert hot.arm("isotropic").verdict == "noise_drift"
    assert cold.arm("isotropic").escapes == 0
    assert cold.arm("isotropic").verdict == "cannot_tell"


def test_frozen_noise_frees_networks_only_if_it_was_frozen_beyond_the_trap(record: Record):
    hot = record.settings[0]
    frozen = hot.arm("frozen at rank 2")
    assert frozen.escapes + frozen.fell == frozen.eligible
    assert hot.arm("frozen at rank 1").escapes == 0


def test_without_noise_nothing_moves_and_the_saddle_parts_the_runs(record: Record):
    for one in record.settings:
        assert one.above_learns
        assert not one.below_learns
        assert all(arm.noise_off_escapes == 0 for arm in one.arms)
        assert all(arm.second_start < 1e-15 for arm in one.arms)


def test_the_record_does_not_depend_on_workers(record: Record):
    assert noise_arms.run(SMALL, seed=3, workers=2) == record


def _times(*rows: tuple[int, str]) -> EscapeTimes:
    steps = np.array([at for at, _ in rows])
    count = np.arange(len(rows))
    status = np.array([word for _, word in rows])
    return EscapeTimes(replica=count, dataset=count, steps=steps, time=0.1 * steps, status=status)


def test_losing_the_first_feature_first_ends_the_waiting_elsewhere():
    class Seen:
        passages = (
            _times((50, "escaped"), (90, "escaped"), (100, "censored"), (100, "censored")),
            _times((70, "escaped"), (30, "escaped"), (40, "escaped"), (100, "censored")),
        )

    found = waiting(Seen())  # pyright: ignore[reportArgumentType]
    assert found.status.tolist() == [
        "escaped",
        "escaped_elsewhere",
        "escaped_elsewhere",
        "censored",
    ]
    assert found.steps.tolist() == [50, 30, 40, 100]


def _theory(regime: str) -> SettingTheory:
    return SettingTheory(
        temperature=1e-3, trace=1.0, trace_datasets=1.0, trace_datasets_se=0.1,
        thermal_spinodal=1e-3, over_spinodal=1.0, energy_barrier=0.01, energy_barrier_over_t=10.0,
        free_barrier_over_t=4.0, predicted_steps=100.0, regime=regime,  # pyright: ignore
    )  # fmt: skip


def _noise(raising: float) -> ArmNoise:
    return ArmNoise(
        directions=3, trace_temperature=1e-3, radial_temperature=1e-2,
        raising_temperature=raising, raising_datasets=raising,
    )  # fmt: skip


def test_activation_is_said_only_with_every_control():
    def said(regime: str = "barrier", **changes) -> str:
        evidence = {"escapes": 9, "second_end": 0.5, "quiet": True, "cold": (0, 5),
                    "memoryless": True} | changes  # fmt: skip
        return verdict("isotropic", _noise(1e-3), _theory(regime), **evidence)

    assert said() == "noise_activated"
    assert said("crossover") == "cannot_tell"
    assert said("drift") == "noise_drift"
    assert said(memoryless=False) == "cannot_tell"
    assert said(cold=None) == "cannot_tell"
    assert said(cold=(0, 0)) == "cannot_tell"
    assert said(cold=(2, 5)) == "cannot_tell"
    assert said(quiet=False) == "noise_free_drift"


def test_absorption_needs_a_zero_and_not_only_silence():
    def said(raising: float, end: float) -> str:
        return verdict(
            "minibatch", _noise(raising), _theory("barrier"),
            escapes=0, second_end=end, quiet=True, cold=None, memoryless=False,
        )  # fmt: skip

    assert said(0.0, 1e-17) == "absorbed"
    assert said(1e-9, 1e-17) == "cannot_tell"
    assert said(0.0, 1e-6) == "cannot_tell"


def test_the_section_says_what_the_record_says(record: Record):
    told = section(record)
    assert told.answer.startswith("Where it points.")
    assert told.stated[0].verdict == "wrong"
    runs = next(t for t in told.tables() if t.name == "noise-arms_runs")
    assert isinstance(runs, Table)
    assert len(runs.rows) == len(ARMS) * len(record.settings)
    assert "noise-activated" not in [row[-1] for row in runs.rows]


def test_arms_at_rest_are_drawn_below_zero_and_the_others_rise(record: Record):
    (figure,) = section(record).figures()
    canvas = Canvas()
    figure.draw(canvas)
    panels = canvas.axes
    assert len(panels) == len(record.settings)
    for panel, one in zip(panels, record.settings, strict=True):
        tops = [float(np.max(line.get_ydata())) for line in panel.get_lines()[: len(ARMS)]]
        bottom = panel.get_ylim()[0]
        for top, name in zip(tops, ARMS, strict=True):
            assert (top > 0) == (one.arm(name).escapes > 0)
            assert top > bottom


def test_settings_above_the_spinodal_are_refused():
    with pytest.raises(ValidationError, match="spinodal"):
        NoiseArmsSettings(settings=(COLD.model_copy(update={"weight_decay": 0.36}),))


def test_starts_beside_the_trap_have_noise_in_the_second_feature_and_twins_without(record: Record):
    hot, cold = record.settings
    assert cold.near == ()
    assert tuple(near.fraction for near in hot.near) == SMALL.near_saddle
    temperatures = [near.temperature for near in hot.near]
    assert temperatures == sorted(temperatures)
    assert temperatures[0] > 0
    for near in hot.near:
        assert near.escapes + near.fell + near.back <= near.trials <= 16
        assert (near.quiet_escapes, near.quiet_runs) == (0, 4)


def test_frozen_noise_is_said_to_drift_only_if_nothing_escapes_after_it_stopped():
    def said(cold: tuple[int, int] | None) -> str:
        return verdict(
            "frozen at rank 2", _noise(1e-2), _theory("barrier"),
            escapes=9, second_end=0.5, quiet=True, cold=cold, memoryless=False,
        )  # fmt: skip

    assert said((0, 5)) == "noise_drift"
    assert said((1, 5)) == "cannot_tell"
    assert said((0, 0)) == "cannot_tell"
    assert said(None) == "cannot_tell"

"""The reference of settings files: complete, up to date, with examples that are accepted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import settings_reference
from settings_examples import EXAMPLES
from settings_sentences import SENTENCES
from spinodal.dynamics.checkpoints import load_checkpoint
from spinodal.dynamics.networks import Network
from spinodal.protocols import escape, rate
from spinodal.protocols.settings_file import _models

PAGE = settings_reference.REFERENCE.read_text(encoding="utf-8")
MODELS = list(dict.fromkeys(model for _, model, _ in settings_reference.SECTIONS))


def test_the_page_is_what_the_tool_writes():
    assert settings_reference.reference() == PAGE


def test_every_section_of_the_file_is_on_the_page():
    fields = rate.RateSettings.model_fields.values()
    top = set(_models([field.annotation for field in fields]))
    inner = {
        m for model in top for f in model.model_fields.values() for m in _models([f.annotation])
    }
    assert top | inner == set(MODELS)


@pytest.mark.parametrize(
    ("model", "key"), [(model, key) for model in MODELS for key in model.model_fields]
)
def test_every_key_has_a_sentence(model: Any, key: str):
    said = settings_reference.sentence(model, key)
    assert said.endswith(".")
    assert "|" not in said.replace("||", "")
    assert f"| `{key}` |" in PAGE


def test_no_sentence_is_left_over_from_a_key_that_is_gone():
    keys = {model.__name__: set(model.model_fields) for model in MODELS}
    assert set(SENTENCES) == set(keys)
    assert all(set(sentences) <= keys[name] for name, sentences in SENTENCES.items())


@pytest.mark.parametrize("title", EXAMPLES)
def test_the_example_files_are_accepted(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((100, 4))
    np.savez("data.npz", x=x, y=np.tanh(x[:, :2]), x_test=x[:20], y_test=np.tanh(x[:20, :2]))
    Path("example.toml").write_text(EXAMPLES[title], encoding="utf-8")
    settings = escape.load("example.toml")
    assert settings.run.replicas > 0


@pytest.mark.needs("torch")
@pytest.mark.parametrize("biases", [False, True])
def test_weights_of_torch_arrive_by_the_snippet(
    biases: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import torch
    from torch import nn

    monkeypatch.chdir(tmp_path)
    model = nn.Sequential(
        nn.Linear(3, 5, bias=biases), nn.Tanh(), nn.Linear(5, 2, bias=biases)
    ).double()
    snippets = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(snippets[biases], {"model": model})
    shapes = Network(depth=2, width=5).shapes(2, 3)
    first, last = load_checkpoint("start.npz", shapes, biases=biases)
    x = torch.ones(3, dtype=torch.float64)
    constant = [1.0] * biases
    hidden = first[:, :, 0] @ np.array([1.0, 1.0, 1.0, *constant])
    hidden[:5] = np.tanh(hidden[:5])
    np.testing.assert_allclose(last[:, :, 0] @ hidden, model(x).detach().numpy(), rtol=1e-12)

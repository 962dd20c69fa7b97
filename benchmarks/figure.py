"""Draw results/lines.json: time of one replica's update as one size of the paper's network varies.

    python benchmarks/figure.py

writes results/lines.png.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from spinodal.speed.case import Case

RESULTS = Path(__file__).parent / "results"
VARIED = {"width": "width", "depth": "depth", "batch_size": "batch size"}
NETWORKS = {"identity": "linear", "sigmoid": "sigmoid"}
STYLES = {
    "engine": {"color": "#0b3c5d", "marker": "o", "lw": 2.2, "zorder": 5},
    "torch_loop": {"color": "#b23a48", "marker": "s"},
    "torch_bmm": {"color": "#e08e45", "marker": "^"},
    "torch_bmm_moments": {"color": "#e08e45", "marker": "^", "ls": ":"},
    "torch_lanes": {"color": "#e08e45", "marker": "v", "ls": "--"},
    "jax_vmap": {"color": "#4f9d69", "marker": "D"},
    "jax_vmap_moments": {"color": "#4f9d69", "marker": "D", "ls": ":"},
    "twin": {"color": "#8a8a8a", "marker": "x"},
}
NAMES = {
    "engine": "this engine",
    "torch_loop": "PyTorch loop",
    "torch_bmm": "PyTorch bmm",
    "torch_bmm_moments": "PyTorch bmm, batch moments",
    "torch_lanes": "PyTorch, moments, replicas last",
    "jax_vmap": "JAX vmap",
    "jax_vmap_moments": "JAX vmap, batch moments",
    "twin": "NumPy twin",
}


def main() -> None:
    """Two rows of panels: linear, sigmoid; one column per size."""
    found = json.loads((RESULTS / "lines.json").read_text(encoding="utf-8"))
    build = found["headline"][0]["build"]
    rows = [row | {"rival": "engine"} for row in found["engine"] if row["build"] == build]
    rows += found["rivals"]
    figure, panels = plt.subplots(2, 3, figsize=(10, 6.2), sharey="row", layout="constrained")
    for line, (activation, kind) in zip(panels, NETWORKS.items(), strict=True):
        for panel, (varied, label) in zip(line, VARIED.items(), strict=True):
            for name, style in STYLES.items():
                points = sorted(_points(rows, name, varied, activation))
                if points:
                    panel.plot(*zip(*points, strict=True), ms=4, label=NAMES[name], **style)
            panel.set(xscale="log", yscale="log", xlabel=label)
            panel.set_xscale("log", base=2)
            panel.xaxis.set_major_formatter("{x:g}")
            panel.grid(which="major", alpha=0.25)
            panel.spines[["top", "right"]].set_visible(False)
        line[0].set_ylabel(f"{kind} network: μs per update")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    machine = found["machine"]
    figure.suptitle(
        f"One core of {machine['processor']} ({machine['clock_ghz']:.2g} GHz), {build} build, "
        "float64, with replacement",
        fontsize=10,
    )
    figure.savefig(RESULTS / "lines.png", dpi=130)


def _points(
    rows: list[dict[str, Any]], name: str, varied: str, activation: str
) -> list[tuple[float, float]]:
    """Size and time of one contestant where only this size differs from the paper's network."""
    usual = Case.model_validate({"activation": activation}).told
    fixed = {key: value for key, value in usual.items() if key != varied}
    return [
        (row[varied], row["us_per_replica_step"])
        for row in rows
        if row["rival"] == name and all(row[key] == value for key, value in fixed.items())
    ]


if __name__ == "__main__":
    main()

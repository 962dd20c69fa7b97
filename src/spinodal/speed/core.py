"""The machine that is measured: its name, its peak without fused operations, versions in use."""

from __future__ import annotations

import os
import platform
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from spinodal.speed.measure import one_core


def builds() -> tuple[str, ...]:
    """Builds of the compiled engine that this processor can run, the default one last."""
    kernels = _kernels()
    return () if kernels is None else tuple(reversed(kernels.features()))


def peaks(seconds: float) -> dict[str, dict[str, float]]:
    """Most multiplications and additions a second (1e9) of one core: by build, by precision.

    Measured in float64 on independent multiplications and additions in registers, without fused
    ones, which exact reproducibility rules out. A vector holds twice as many float32 numbers.
    """
    kernels = _kernels()
    if kernels is None:
        return {}
    with one_core():
        double = {name: kernels.peak(name, seconds) * 1e-9 for name in kernels.features()}
    return {name: {"float64": rate, "float32": 2 * rate} for name, rate in double.items()}


def machine() -> dict[str, Any]:
    """What was measured on, as far as the system tells."""
    info = _cpuinfo()
    mhz = info.get("cpu MHz")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": info.get("model name") or platform.processor() or platform.machine(),
        "vendor": info.get("vendor_id"),
        "family_model": [info.get("cpu family"), info.get("model")],
        "clock_ghz": None if mhz is None else round(float(mhz) / 1000, 3),
        "cores": os.cpu_count(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": load,
        "versions": {"python": sys.version.split()[0], **_versions()},
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in ("spinodal", "numpy", "torch", "jax", "distributed", "submitit"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpuinfo() -> dict[str, str]:
    """The first processor in /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = [line.partition(":") for line in text.partition("\n\n")[0].splitlines()]
    return {key.strip(): value.strip() for key, _, value in pairs}


def _memory() -> float | None:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return round(size / 2**30, 1)


def _kernels() -> Any:
    try:
        return import_module("spinodal.dynamics._engine._kernels")
    except ImportError:
        return None

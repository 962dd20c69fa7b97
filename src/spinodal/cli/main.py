"""Arguments in, one call, text or JSON out.

Values arrive as text and are validated by the settings of the command, so that the command line
and Python refuse the same things in the same words. Whatever a command needs is imported inside
it: `spinodal --help` answers before NumPy could be loaded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

import spinodal
from spinodal.cli import complaints
from spinodal.cli.interruption import Interrupted, interruptible
from spinodal.errors import DamagedFileError, InputError

app = App(
    name="spinodal",
    version=spinodal.__version__,
    help="Metastability in neural-network training: landscapes, experiments, evidence.",
    help_format="plaintext",  # Markdown would take a third of the time of --help
)

Number = Annotated[str, Parameter(metavar="NUMBER")]
Count = Annotated[str, Parameter(metavar="N")]
Switch = Annotated[bool, Parameter(negative="", show_default=False)]


@app.command
def reproduce(
    *,
    only: Annotated[
        list[str] | None, Parameter(consume_multiple=True, negative="", metavar="SECTION")
    ] = None,
    effort: Annotated[str, Parameter(metavar="quick|paper")] = "quick",
    seed: Count = "42",
    threads: Count | None = None,
    out: Annotated[str, Parameter(metavar="DIR")] = "reproduction",
    json: Switch = False,
) -> None:
    """Recompute the paper's figures and audit its claims, into one offline page.

    The same command again continues where it was interrupted.
    --only adds to a directory of the same effort and seed.

    Parameters
    ----------
    only
        Sections to compute, by commas or blanks: fig1a, fig1b, fig2a, fig2b, fig3, fig4,
        noise-arms, route-agreement, balance, downward-jumps, other-problems, audit.
        The audit needs fig1a, fig1b, fig2b, fig3 and noise-arms, and computes those it does not
        find.
    effort
        quick takes minutes, paper the paper's own sizes.
    seed
        Everything random follows from it; results are the same for any number of threads.
    threads
        How many processor cores to use; all by default.
    out
        Directory of the page, its figures, tables and records.
    json
        Print one JSON document to standard output.
    """
    from spinodal.cli import commands

    commands.reproduce(
        only=_split(only), effort=effort, seed=seed, threads=threads, out=out, as_json=json
    )


@app.command
def atlas(
    *,
    depth: Count,
    width: Count,
    signals: Annotated[list[str], Parameter(consume_multiple=True, negative="", metavar="NUMBER")],
    weight_decay: Number,
    temperature: Number | None = None,
    json: Switch = False,
) -> None:
    """Every mode and every phase of a deep linear network, exactly.

    Parameters
    ----------
    depth
        Layers of weights.
    width
        Hidden units of each layer.
    signals
        Singular values of the input-output covariance, in any order: 0.9 0.8.
    weight_decay
        Of every layer, in the convention that the table states.
    temperature
        Of additive noise; adds free-energy barriers and the mean time to learn each mode.
    json
        Print one JSON document to standard output.
    """
    from spinodal.cli import commands

    commands.atlas(
        depth=depth,
        width=width,
        signals=_split(signals),
        weight_decay=weight_decay,
        temperature=temperature,
        as_json=json,
    )


@app.command
def bench(*, quick: Switch = False, threads: Count | None = None, json: Switch = False) -> None:
    """How fast the simulator is here: against its rivals, the core's peak, and on threads.

    Rivals are a PyTorch loop, many replicas at once in PyTorch and JAX where these are
    installed, and the NumPy twin. All are checked on the same batches before they are timed.

    Parameters
    ----------
    quick
        Fewer cases and shorter turns: less than a minute instead of a quarter of an hour.
    threads
        Up to how many threads to share replicas among; all cores by default.
    json
        Print one JSON document to standard output.
    """
    from spinodal.cli import bench as command
    from spinodal.cli import commands

    command.bench(
        quick=quick, threads=commands.cores() if threads is None else threads, as_json=json
    )


@app.command
def escape(
    file: Annotated[str | None, Parameter(metavar="FILE.toml")] = None,
    /,
    *,
    example: Switch = False,
    threads: Count | None = None,
    shard_size: Count | None = None,
    seed: Count | None = None,
    out: Annotated[str | None, Parameter(metavar="DIR")] = None,
    json: Switch = False,
) -> None:
    """Simulate escapes as a settings file says, and estimate their rate.

    Writes escapes.csv and summary.json into the output directory.
    The same command again continues where it was interrupted.

    Parameters
    ----------
    file
        Settings in TOML, with sections task, network, update, start, event and run.
    example
        Print a commented settings file that runs within seconds, and do nothing else.
    threads
        How many processor cores to use; all by default. No number depends on it.
    shard_size
        Replicas simulated together by one core. No number depends on it.
    seed
        Everything random follows from it; replaces the seed of the file.
    out
        Output directory; by default it is named after the file.
    json
        Print one JSON document to standard output.
    """
    from spinodal.cli import escape_command

    escape_command.escape(
        file=file,
        example=example,
        threads=threads,
        shard_size=shard_size,
        seed=seed,
        out=out,
        as_json=json,
    )


@app.command
def rate(
    file: Annotated[str | None, Parameter(metavar="FILE.toml")] = None,
    /,
    *,
    example: Switch = False,
    threads: Count | None = None,
    shard_size: Count | None = None,
    seed: Count | None = None,
    out: Annotated[str | None, Parameter(metavar="DIR")] = None,
    json: Switch = False,
) -> None:
    """One escape rate, by waiting or, where that is hopeless, by splitting.

    Writes rate.json into the output directory.
    The same command again continues where it was interrupted.

    Parameters
    ----------
    file
        Settings in TOML, as for `spinodal escape`, with one more section: rate.
    example
        Print a commented settings file that runs within a minute, and do nothing else.
    threads
        How many processor cores to use; all by default. No number depends on it.
    shard_size
        Replicas simulated together by one core while waiting. No number depends on it.
    seed
        Everything random follows from it; replaces the seed of the file.
    out
        Output directory; by default it is named after the file.
    json
        Print one JSON document to standard output.
    """
    from spinodal.cli import rate_command

    rate_command.rate(
        file=file,
        example=example,
        threads=threads,
        shard_size=shard_size,
        seed=seed,
        out=out,
        as_json=json,
    )


@app.command
def fit(
    file: Annotated[str | None, Parameter(metavar="TIMES.csv")] = None,
    /,
    *,
    time_unit: Annotated[str, Parameter(metavar="time|steps")] = "time",
    rotations: Number | None = None,
    loss_ratio: Number | None = None,
    curvature: Number | None = None,
    confidence: Number | None = None,
    seed: Count | None = None,
    out: Annotated[str | None, Parameter(metavar="DIR")] = None,
    json: Switch = False,
) -> None:
    """Which law do these escape times follow? Laws compared on a table of single times.

    Columns: time, or steps with learning_rate; status (escaped, censored,
    diverged, escaped_elsewhere) or escaped (1 or 0); and any of learning_rate,
    batch_size, temperature, weight_decay, dataset, entry. Fields with line
    breaks are not read. Times are 0 or lie between 1e-100 and 1e+100.

    Laws of the mean time: arrhenius, exp(barrier / noise); power, noise to an
    exponent; drift, the same at all noise, but 1 / temperature where nothing
    but a temperature varies; lag, a fixed time before exponential waiting.

    Parameters
    ----------
    file
        A CSV file, one row for each run, those that did not escape included.
    time_unit
        What the column time holds: learning rate times steps, or steps.
    rotations
        Adds the term (rotations / 2) ln temperature to the Arrhenius law.
    loss_ratio
        Loss at the saddle over loss at the minimum; with --curvature it offers Mori's law.
    curvature
        Curvature of the loss at the minimum.
    confidence
        Coverage of the intervals, 0.95 by default.
    seed
        Of bootstrap and calibration, 42 by default.
    out
        Write fit.json, fit.svg and fit.png into this directory; without it nothing is written. An
        earlier fit there is replaced.
    json
        Print one JSON document to standard output.
    """
    from spinodal.cli import fit_command

    fit_command.fit(
        file=file,
        time_unit=time_unit,
        rotations=rotations,
        loss_ratio=loss_ratio,
        curvature=curvature,
        confidence=confidence,
        seed=seed,
        out=out,
        as_json=json,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 0, 2 (wrong input), 3 (damaged file) or 128 + signal.

    A reader who hangs up counts as the signal SIGPIPE: 141.
    """
    tokens = list(sys.argv[1:] if argv is None else argv)
    tokens[:1] = ["--help"] if tokens[:1] == ["help"] else tokens[:1]
    if sys.stderr is None:  # closed by the caller: then nobody wants to be told
        sys.stderr = open(os.devnull, "w")
    if sys.stdout is None:
        sentence = "Standard output is closed; open it, or send it to a file or to /dev/null."
        return _complain(sentence, 2)
    try:
        with interruptible():
            from spinodal.cli.printing import Printer

            app(
                tokens,
                console=Printer(),
                exit_on_error=False,
                print_error=False,
                result_action="return_value",
            )
            sys.stdout.flush()
    except CycloptsError as problem:
        return _complain(complaints.about_arguments(problem, app, tokens), 2)
    except InputError as problem:
        return _complain(str(problem), 2)
    except ValueError as problem:
        from pydantic import ValidationError  # too slow to load for --help

        if not isinstance(problem, ValidationError):
            raise
        return _complain(complaints.about_settings(problem), 2)
    except DamagedFileError as problem:
        return _complain(str(problem), 3)
    except MemoryError:
        return _complain("This needs more memory than there is; ask for something smaller.", 2)
    except BrokenPipeError:
        return _hang_up()
    except OSError as problem:
        _hang_up()
        return _complain(complaints.about_files(problem), 2)
    except Interrupted as interrupt:
        return interrupt.leave()
    return 0


def _split(values: list[str] | None) -> list[str] | None:
    """Lists may be written with commas or blanks: 0.9,0.8 as well as 0.9 0.8."""
    if values is None:
        return None
    return [part for value in values for part in value.replace(",", " ").split()]


def _complain(sentence: str, status: int) -> int:
    with suppress(OSError):  # there may be nobody to tell
        print(f"spinodal: {sentence}", file=sys.stderr)
    return status


def _hang_up() -> int:
    """Whoever read our output has gone or has no room: say nothing more to them, not even at exit.

    The status is that of a program stopped by SIGPIPE.
    """
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return 141

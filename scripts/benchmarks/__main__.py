"""`scripts/bench`: one verb a bench."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
Embedder = Literal["a", "b"]
Detector = Literal["short", "full"]


_with_detector = click.option("--detector", type=click.Choice(["short", "full"]), default="short", show_default=True)


def _with_models(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that choose the models."""
    embedder = click.option("--embedder", type=click.Choice(["a", "b"]), default="a", show_default=True)
    return embedder(_with_detector(command))


# Each bench is imported when it is asked for: --help must not load a model's runtime.
@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def root() -> None:
    """Measure the shipped pipeline; the last line of each bench is JSON."""


@root.command()
@click.argument("folder", type=FOLDER)
@_with_models
def lfw(folder: Path, embedder: Embedder, detector: Detector) -> None:
    """Verify the pairs of FOLDER: images/NAME/NAME_0001.jpg and pairs.txt as in Labeled Faces in the Wild."""
    from . import lfw as bench  # noqa: PLC0415

    bench.run(folder, embedder, detector)


@root.command()
@click.argument("folder", type=FOLDER)
@click.option("--name", help="What the folder's faces are called in the manifest; its own name if not given.")
@click.option("--write", is_flag=True, help="Put the fitted tail into models/manifest.toml, or that of --added.")
@click.option("--added", type=FOLDER, help="Folder of models that `ostiary models` added; --embedder may name one.")
@click.option("--embedder", default="a", show_default=True, help="a, b, or the id of one that was added.")
@_with_detector
def impostors(
    folder: Path, *, name: str | None, write: bool, added: Path | None, embedder: str, detector: Detector
) -> None:
    """Compare all different people of FOLDER/images and fit the tail that thresholds are derived from."""
    from . import impostors as bench  # noqa: PLC0415

    bench.run(folder, embedder, detector, name or folder.resolve().name, write=write, added=added)


@root.command()
@click.argument("folder", type=FOLDER)
@click.option("--people", type=click.IntRange(2), default=300, show_default=True, help="People who are redacted.")
@click.option("--film", "films", type=FILE, multiple=True, help="A film that is redacted too; again for more.")
@click.option("--embedder", type=click.Choice(["a", "b"]), default="a", show_default=True)
def faces(folder: Path, *, people: int, films: tuple[Path, ...], embedder: Embedder) -> None:
    """Find, redact and group the faces of FOLDER/images, and tell who is known again."""
    from . import faces as bench  # noqa: PLC0415

    bench.run(folder, embedder, people, films)


@root.command()
@click.argument("folder", type=FOLDER)
def films(folder: Path) -> None:
    """Show films of FOLDER's recordings, which manifest.csv labels, to liveness sessions."""
    from . import films as bench  # noqa: PLC0415

    bench.run(folder)


@root.command()
@click.argument("folder", type=FOLDER)
@click.argument("groups", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_with_models
def slices(folder: Path, groups: Path, embedder: Embedder, detector: Detector) -> None:
    """Compare false matches within the groups that GROUPS, a CSV of name and group, gives to people of FOLDER."""
    from . import slices as bench  # noqa: PLC0415

    bench.run(folder, groups, embedder, detector)


@root.command()
@click.argument("folder", type=FOLDER)
@click.option("--images", type=click.IntRange(1, 100), default=1, show_default=True, help="Images enrolled of each.")
@click.option("--fuse", "fused", type=click.IntRange(1, 100), default=1, show_default=True, help="Images to a probe.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Draws which images are enrolled.")
@click.option("--draws", type=click.IntRange(1, 100), default=1, show_default=True, help="Draws, with seeds in a row.")
@click.option("--single-view", is_flag=True, help="Read probes as the camera's frames are, not as photographs.")
@_with_models
def openset(folder: Path, *, embedder: Embedder, detector: Detector, **plan: Any) -> None:  # noqa: ANN401 - click's own
    """Identify the people of FOLDER/images among each other, with strangers at the door."""
    from . import openset as bench  # noqa: PLC0415

    bench.run(folder, embedder, detector, bench.Plan(**plan))


@root.command()
@click.argument("folder", type=FOLDER)
@_with_models
def pad(folder: Path, embedder: Embedder, detector: Detector) -> None:
    """Score the liveness of the frames that FOLDER/manifest.csv lists, bona fide and attacks."""
    from . import pad as bench  # noqa: PLC0415

    bench.run(folder, embedder, detector)


@root.command()
@click.argument("folder", type=FOLDER)
@click.option("--photos", type=FOLDER, help="A folder in the form of LFW: prints of its people are held up too.")
@click.option("--people", type=click.IntRange(1), default=20, show_default=True, help="So many of them.")
@_with_models
def cues(folder: Path, *, photos: Path | None, people: int, embedder: Embedder, detector: Detector) -> None:
    """Count the cues over frames in the recordings that FOLDER/manifest.csv lists, and in prints made on the fly."""
    from . import cues as bench  # noqa: PLC0415

    bench.run(folder, embedder, detector, bench.Prints(photos, people))


@root.command()
@click.argument("folder", type=FOLDER)
@click.option("--pairs", type=click.IntRange(1, 100_000), default=300, show_default=True, help="Mated pairs used.")
@_with_models
def quality(folder: Path, *, embedder: Embedder, detector: Detector, pairs: int) -> None:
    """Make faces of FOLDER's mated pairs worse, and tell what each flaw costs and what quality makes of it."""
    from . import quality as bench  # noqa: PLC0415

    bench.run(folder, embedder, detector, pairs)


@root.command()
@click.option("--frames", type=click.IntRange(20, 100_000), default=300, show_default=True, help="Frames timed.")
@click.option("--gallery", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="References.")
@click.option("--busy", is_flag=True, help="Keep all other cores busy meanwhile.")
@_with_models
def latency(embedder: Embedder, detector: Detector, **load: Any) -> None:  # noqa: ANN401 - click's own
    """Time the way from frame to relay request on frames of the simulated camera."""
    from . import latency as bench  # noqa: PLC0415

    bench.run(embedder, detector, bench.Load(**load))


@root.command()
@click.option("--frames", type=click.IntRange(24, 100_000), default=240, show_default=True, help="Frames watched.")
@click.option("--gallery", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="References.")
@_with_models
def work(embedder: Embedder, detector: Detector, *, frames: int, gallery: int) -> None:
    """Count the work of a frame, stage by stage, and estimate what it takes on boards that are not at hand."""
    from . import work as bench  # noqa: PLC0415

    bench.run(embedder, detector, frames, gallery)


@root.command()
@click.option("--seconds", type=click.IntRange(2, 3600), default=60, show_default=True, help="Of an empty scene.")
@_with_models
def idle(seconds: int, embedder: Embedder, detector: Detector) -> None:
    """Count the processor time that an empty scene takes."""
    from . import idle as bench  # noqa: PLC0415

    bench.run(embedder, detector, seconds)


@root.command()
@click.option("--turns", type=click.IntRange(1, 100), default=7, show_default=True, help="Starts.")
@click.option("--references", type=click.IntRange(0, 100_000), default=1_000, show_default=True, help="In the gallery.")
@click.option(
    "--seconds", "work_s", type=click.FloatRange(0), default=20.0, show_default=True, help="Of work, for memory."
)
def start(turns: int, references: int, work_s: float) -> None:
    """Time the reader's start to READY, and read the memory it holds while it works."""
    from . import start as bench  # noqa: PLC0415

    bench.run(turns, references, work_s)


@root.command()
@click.argument("sizes", type=click.IntRange(1, 1_000_000), nargs=-1)
@click.option("--turns", type=click.IntRange(1, 100), default=5, show_default=True, help="Of each measurement.")
def growth(sizes: tuple[int, ...], turns: int) -> None:
    """Fill a gallery with SIZES people (1,000, 10,000 and 100,000), and time start, enrolment, listing and search."""
    from . import growth as bench  # noqa: PLC0415

    bench.run(sizes or (1_000, 10_000, 100_000), turns)


@root.command()
@click.argument("folder", type=FOLDER)
@_with_models
def protection(folder: Path, embedder: Embedder, detector: Detector) -> None:
    """Turn the templates of FOLDER/images as two devices would, and say what stays alike and what can be linked."""
    from . import protection as bench  # noqa: PLC0415

    bench.run(folder, embedder, detector)


@root.command()
@click.argument("commit")
@click.option("--rounds", type=click.IntRange(2, 100), default=6, show_default=True, help="Turns of both.")
def against(commit: str, rounds: int) -> None:
    """Run `latency` of COMMIT and of this tree by turns, and set the times side by side."""
    from . import against as bench  # noqa: PLC0415

    bench.run(commit, rounds)


@root.command()
@click.argument("sizes", type=click.IntRange(1, 2_000_000), nargs=-1)
@click.option("--probes", type=click.IntRange(1), default=100_000, show_default=True, help="Random probes compared.")
@click.option("--near", type=click.IntRange(1), default=10_000, show_default=True, help="Near-duplicates compared.")
@click.option("--reload", type=click.IntRange(1), multiple=True, default=(10_000, 100_000), help="N of reloads.")
def matching(sizes: tuple[int, ...], *, probes: int, near: int, reload: tuple[int, ...]) -> None:
    """Search galleries of SIZES random templates (1,000 to a million), and compare the answers with float64."""
    from . import matching as bench  # noqa: PLC0415

    bench.run(sizes or (1_000, 10_000, 100_000, 1_000_000), probes=probes, near=near, reload=reload)


@root.command()
@click.argument("folder", type=FOLDER)
@click.option("--video-dir", "recordings", type=FOLDER, help="Recordings, live and replayed, that manifest.csv lists.")
@click.option("--frames", type=click.IntRange(2, 100_000), default=100, show_default=True, help="Frames timed.")
@click.option("--pairs", type=click.IntRange(2), default=300, show_default=True, help="Pairs of FOLDER, of each kind.")
def peers(folder: Path, recordings: Path | None, *, frames: int, pairs: int) -> None:
    """Set the shipped pipeline beside face_recognition (dlib) and human (WebAssembly), by turns on the same frames."""
    from .peers import bench  # noqa: PLC0415

    bench.run(folder, recordings, frames=frames, pairs=pairs)


@root.command()
@click.option("--draws", type=click.IntRange(1, 10_000), default=200, show_default=True, help="Passes for each look.")
def passes(draws: int) -> None:
    """Read passes on a telephone, drawn near and far, tilted, blurred and in glare; OpenCV's readers beside ours."""
    from . import passes as bench  # noqa: PLC0415

    bench.run(draws)


@root.command()
@click.option("--moments", "moments_", type=click.IntRange(0), default=0, help="Faults at random moments of a pulse.")
@click.option("--latency", "latency_", type=click.IntRange(0), default=0, help="Edges and pulses timed, of each.")
@click.option("--schedules", "schedules_", type=click.IntRange(0), default=0, help="Random schedules; a 40th for real.")
@click.option("--doors", type=click.IntRange(1, 16), default=4, show_default=True, help="Controllers at the same time.")
def door(**plan: int) -> None:
    """Break a door's reader, controller and guardian while it is unlocked, time its lock, and try its limits."""
    from . import door as bench  # noqa: PLC0415

    bench.run(**plan)


@root.command()
@click.argument("sizes", type=click.IntRange(10, 1_000_000), nargs=-1)
@click.option("--entries", type=click.IntRange(1), default=100_000, show_default=True, help="In the audit log.")
@click.option("--turns", type=click.IntRange(1, 1000), default=10, show_default=True, help="People of each size.")
def drill(sizes: tuple[int, ...], entries: int, turns: int) -> None:
    """Hand out and erase people of galleries of SIZES, back them up and put them back, and look at everybody's time."""
    from . import drill as bench  # noqa: PLC0415

    bench.run(sizes or (1_000, 10_000), entries, turns)


@root.command()
@click.option("--cuts", type=click.IntRange(1), default=10_000, show_default=True, help="And a 20th for NORMAL.")
@click.option("--kills", type=click.IntRange(0), default=1_000, show_default=True, help="SIGKILLs.")
@click.option("--events", type=click.IntRange(0), default=1_000, show_default=True, help="Of the day that is written.")
@click.option("--idle/--no-idle", default=True, help="Watch for a minute whether anything is written at idle.")
def power(cuts: int, *, kills: int, events: int, idle: bool) -> None:
    """Cut the power and kill the program while the databases work, and count what is lost, and what a day writes."""
    from . import power as bench  # noqa: PLC0415

    bench.run(cuts, kills, events, idle=idle)


@root.command()
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="Cut at every so many steps.")
@click.option("--power/--no-power", default=True, help="Power cuts too, on a loop device: only root may.")
def updates(every: int, *, power: bool) -> int:
    """Cut an update off at each step, by kill and by power cut: exit 1 where no whole release boots afterwards."""
    from . import updates as bench  # noqa: PLC0415

    return min(bench.run(every, power=power), 1)


@root.command()
@click.option("--times", type=click.IntRange(1), default=1_000, show_default=True, help="SIGKILLs.")
def kills(times: int) -> int:
    """Kill the running reader at random moments: exit 1 where anything was lost, or opened without being written."""
    from . import kills as bench  # noqa: PLC0415

    return bench.run(times)


@root.command()
@click.option("--times", type=click.IntRange(1), default=8, show_default=True, help="Brokers killed.")
def flapping(times: int) -> int:
    """Kill the broker again and again while events are sealed: exit 1 where a client misses one."""
    from . import flapping as bench  # noqa: PLC0415

    return bench.run(times)


@root.command()
@click.option("--writes", type=click.IntRange(1), default=300, show_default=True, help="Each fails once, of each kind.")
def faults(writes: int) -> int:
    """Let the disk fail at the n-th write of a running reader: exit 1 where anything is opened, lost or half done."""
    from . import faults as bench  # noqa: PLC0415

    return bench.run(writes)


@root.command()
@click.option("--frames", type=click.IntRange(100), default=10_000_000, show_default=True)
@click.option("--models", is_flag=True, help="Ask the models about each frame, not once about each picture.")
@click.option("--crowd", is_flag=True, help="One print after the other without a pause, for how the log grows.")
def soak(frames: int, *, models: bool, crowd: bool) -> None:
    """Play a film to one reader over and over, and watch its memory, descriptors and threads."""
    from . import soak as bench  # noqa: PLC0415

    bench.run(frames, models=models, crowd=crowd)


@root.command()
@click.option("--visits", type=click.IntRange(2, 10_000), default=200, show_default=True, help="Strangers who come.")
@click.option("--picture/--no-picture", default=True, help="Whether the alert shows the stranger.")
def alert(visits: int, *, picture: bool) -> None:
    """Time the alert of a stranger at an attendant over TLS, and the way from a signed approval to the lock's pin."""
    from . import alert as bench  # noqa: PLC0415

    bench.run(visits, picture=picture)


@root.command()
@click.option("--attempts", type=click.IntRange(1), default=1_000_000, show_default=True)
@click.option("--processes", type=click.IntRange(1, 16), default=2, show_default=True)
def mutations(attempts: int, processes: int) -> int:
    """Try mutated, replayed, expired, reordered and misdirected commands at a door: exit 1 where one is accepted."""
    from . import mutations as bench  # noqa: PLC0415

    return bench.run(attempts, processes)


@root.command()
@click.option("--rounds", type=click.IntRange(0), default=5, show_default=True, help="Of one block of each kind.")
@click.option("--block", "block_s", type=click.FloatRange(0.5), default=3.0, show_default=True, help="Seconds of each.")
@click.option("--events", type=click.IntRange(0), default=0, show_default=True, help="Fed while the power is cut.")
def outage(rounds: int, block_s: float, events: int) -> None:
    """Time decisions with a broker that answers, is absent, stalls or is stopped; cut the power under the feed."""
    from . import outage as bench  # noqa: PLC0415

    bench.run(rounds, block_s, events)


@root.command()
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--block", "block_s", type=click.FloatRange(0.5), default=4.0, show_default=True, help="Seconds of each.")
@click.option("--rate", type=click.IntRange(100), default=10_000, show_default=True, help="Commands a second.")
def flood(rounds: int, block_s: float, rate: int) -> None:
    """Flood the command topic of a running reader, and compare what its frames take with calm."""
    from . import flood as bench  # noqa: PLC0415

    bench.run(rounds, block_s, rate)


@root.command("web-flood")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--requests", type=click.IntRange(100), default=10_000, show_default=True, help="Of all rounds together.")
@click.option("--rate", type=click.IntRange(10), default=500, show_default=True, help="Requests a second.")
def web_flood(rounds: int, requests: int, rate: int) -> None:
    """Flood the web beside a running reader, and compare what its frames take with calm."""
    from . import web_flood as bench  # noqa: PLC0415

    bench.run(rounds, requests, rate)


@root.command()
@click.option("--people", type=click.IntRange(100), default=10_000, show_default=True)
@click.option(
    "--times", type=click.IntRange(20), default=200, show_default=True, help="How often each page is asked for."
)
def pages(people: int, times: int) -> None:
    """Ask for every page with so many people enrolled, and a log of 100,000 entries."""
    from . import pages as bench  # noqa: PLC0415

    bench.run(people, times)


@root.command()
@click.option("--people", type=click.IntRange(100, 100_000), default=10_000, show_default=True)
@click.option("--entries", type=click.IntRange(100), default=100_000, show_default=True, help="In the audit log.")
@click.option("--turns", type=click.IntRange(20), default=300, show_default=True, help="Questions of each kind.")
def api(people: int, entries: int, turns: int) -> None:
    """Time the answers of /api/v1 with many people and a long log."""
    from . import api as bench  # noqa: PLC0415

    bench.run(people, entries, turns)


@root.command()
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--block", "block_s", type=click.FloatRange(0.5), default=4.0, show_default=True, help="Seconds of each.")
def kiosk(rounds: int, block_s: float) -> None:
    """Compare what reader, web and browser take with a screen at the door and without; time its mirror."""
    from . import kiosk as bench  # noqa: PLC0415

    bench.run(rounds, block_s)


@root.command()
@click.argument("folder", type=FOLDER)
@click.option("--views", type=click.IntRange(1), default=100, show_default=True, help="Photographs of FOLDER/images.")
@click.option(
    "--film", "films", type=FILE, multiple=True, help="A recording of a camera that stood still; again for more."
)
def camera(folder: Path, views: int, films: tuple[Path, ...]) -> None:
    """Move, cover, blur and light views, and tell which of it camera integrity notices; time it."""
    from . import camera as bench  # noqa: PLC0415

    bench.run(folder, views, films)


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when measured; else say why in one line and return 2 for a wrong path, file or option, 3 for a model."""
    try:
        result: Any = root.main(arguments, prog_name="scripts/bench", standalone_mode=False)
    except click.ClickException as fault:
        fault.show()
        return fault.exit_code
    except click.Abort:
        return 1
    except ApplianceError as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return fault.exit_code
    return int(result or 0)


if __name__ == "__main__":
    sys.exit(main())

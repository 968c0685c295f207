"""`ostiary commission`: try the liveness with people and attacks before this camera, and report on it."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from appliance.commands.options import Installation, with_installation
from appliance.commissioning.clearance import clearance
from appliance.commissioning.judging import Judgement, Tally, judge, proposed_threshold, tally
from appliance.commissioning.record import RECORDINGS, Result, conditions, load, store
from appliance.commissioning.report import page
from appliance.commissioning.session import carry_out
from appliance.commissioning.sources import AtTheCamera, Recordings, SimulatedVisits
from appliance.commissioning.trials import BONA_FIDE, Outcome, Trial, TrialReader
from appliance.errors import RefusedError, UsageError
from appliance.lone import only_one
from appliance.pipeline.reading import ModelStages
from appliance.rates import upper_bound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.commissioning.sources import Source

ASKED_FOR = {
    BONA_FIDE: "a person, as they would come to the door; somebody else than before if you can",
    "print": "a photograph on paper, held where a face would be, with nobody else in the picture",
    "phone": "a face on a telephone, bright, held where a face would be",
    "tablet": "a face on a tablet, bright, held where a face would be",
    "monitor": "a face on a monitor or laptop, bright, placed where a face would be",
    "mask": "a mask of a face, worn or held",
}
WHOLE = 1_000_000  # of a folder, every recording is read


@click.group()
def commission() -> None:
    """Try the liveness with people and attacks before this camera; until it has passed, no face alone opens."""


@commission.command()
@click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Read recordings in FOLDER/bona_fide, FOLDER/print and so on instead; a try-out that clears no door.",
)
@click.option("--bona-fide", type=click.IntRange(1, 1000), help="Presentations by people [commissioning.bona_fide].")
@click.option("--attacks", type=click.IntRange(1, 1000), help="Presentations of each species [commissioning.attacks].")
@click.option("--people", type=click.IntRange(0, 1000), help="How many different people take part.")
@with_installation
def spoof(
    installation: Installation, folder: Path | None, bona_fide: int | None, attacks: int | None, people: int | None
) -> None:
    """Guide through presentations by people and attacks, and store the signed result; nothing is ever opened.

    Exit 1 where it has not passed. No picture and no template is kept.
    """
    asked = installation.settings.commissioning
    counts = dict.fromkeys(asked.species_names, attacks or asked.attacks)
    wanted = {BONA_FIDE: bona_fide or asked.bona_fide} | counts
    console = Console(highlight=False, soft_wrap=True)
    with contextlib.ExitStack() as closing:
        if folder is None:
            where = installation.state
            busy = f"another reader is running on {where}: stop it first, commissioning needs the camera alone"
            closing.enter_context(only_one(installation.state / "reader.lock", busy))
        settings = installation.settings
        stages = ModelStages(settings, installation.models_folder)
        reader = TrialReader(settings, stages, stages.embedder.model_id, stages.embedder.dimension)
        guide = _Guide(console)
        source: Source
        if folder is not None:
            recordings = Recordings(folder, settings.camera)
            source, wanted = recordings, dict.fromkeys((BONA_FIDE, *recordings.species()), WHOLE)
        elif settings.camera.source == "simulated":
            source = SimulatedVisits(settings.camera, settings.recognition.reading_s)
        else:
            people = click.prompt("How many different people take part?", type=int) if people is None else people
            source = closing.enter_context(AtTheCamera(settings.camera, guide.ask))
        guide.begin(wanted)
        trials = carry_out(source, reader, wanted, guide)
    if folder is not None:
        installation = installation.with_source(RECORDINGS)
    result = _result(installation, trials, people or 0)
    store(result, result_file(installation), installation.device_key_file)
    _conclude(installation, result, console)


@commission.command()
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("commissioning.html"),
    show_default=True,
    help="The page to write.",
)
@click.option("--recordings", is_flag=True, help="Report on the last try-out with --from.")
@with_installation
def report(installation: Installation, output: Path, *, recordings: bool) -> None:
    """Write the last result as one HTML page with its counts, intervals and curves; it needs nothing beside it."""
    file = result_file(installation.with_source(RECORDINGS) if recordings else installation)
    result = load(file, installation.device_key_file)
    if result is None:
        raise RefusedError(f"there is no commissioning result {file} to report on; run: ostiary commission spoof")
    settings = installation.settings
    text = page(result, judge(result.trials, settings.liveness.min_bona_fide, settings.commissioning))
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as fault:
        raise UsageError(f"report {output} cannot be written: {fault.strerror}") from fault
    click.echo(f"report: {output}")
    if not recordings:
        click.echo(clearance(installation).words)


def result_file(installation: Installation) -> Path:
    """Return where the result is: the door's, or that of a try-out with recordings, which never clears the door."""
    file = installation.commissioning_file
    return file.with_stem(f"{file.stem}-recordings") if _is_try_out(installation) else file


def _is_try_out(installation: Installation) -> bool:
    return installation.settings.camera.source == RECORDINGS


class _Guide:
    """Talks to the installer in the terminal; plain lines where it is none."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._made: dict[str, int] = {}

    def begin(self, wanted: Mapping[str, int]) -> None:
        """Say what is to come, and how little it can show."""
        for species, count in wanted.items():
            if count != WHOLE:
                bound = f"; none accepted still allows {upper_bound(0, count):.0%}" if species != BONA_FIDE else ""
                self._console.print(f"wanted: {_name(species)}, {count} presentations{bound}")
        self._console.print("Nothing is opened; no picture and no template is kept.")

    def ask(self, species: str, number: int) -> None:
        """Have one presentation put in place. Raises click.Abort where nobody answers."""
        name = ASKED_FOR.get(species, f"an attack of the kind {species}")
        self._console.print(f"[bold]{_name(species)} {number}[/bold]: {name}")
        click.prompt("Enter when ready", default="", show_default=False, prompt_suffix=" ")

    def face(self) -> None:
        """Say that it is being read."""
        if self._console.is_terminal:
            self._console.print("  a face is seen; hold it there", style="dim")

    def done(self, trial: Trial) -> None:
        """Say what it came to, as far as no threshold is needed for that."""
        number = self._made[trial.species] = self._made.get(trial.species, 0) + 1
        words = [f"{len(trial.scores)} frames in {trial.seconds:.1f} s"]
        if trial.outcome(1.0) is Outcome.NOT_READ:
            words.append("not read: bring it nearer, alone, into the light")
        elif trial.passes_up_to is None:
            words.append(f"refused ({trial.refused.value if trial.refused else 'in doubt to the end'})")
        else:
            words.append(f"passes for live up to {trial.passes_up_to:.3f}")
        words += [", ".join(trial.cues)] if trial.cues else []
        self._console.print(f"{_name(trial.species)} {number}: {'; '.join(words)}")


def _name(species: str) -> str:
    return species or "person"


def _result(installation: Installation, trials: tuple[Trial, ...], people: int) -> Result:
    settings = installation.settings
    return Result(
        at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        device_id=settings.device.id,
        conditions=conditions(settings, installation.models_folder),
        threshold=settings.liveness.min_bona_fide,
        people=people,
        trials=trials,
    )


def _conclude(installation: Installation, result: Result, console: Console) -> None:
    """Say what the result means. Raises RefusedError where it has not passed."""
    settings = installation.settings
    judged = judge(result.trials, settings.liveness.min_bona_fide, settings.commissioning)
    console.print(_table(judged))
    proposed = proposed_threshold(result.trials)
    if proposed is None:
        console.print("No threshold keeps every attack out that was tried here.")
    else:
        people = tally(result.trials, BONA_FIDE, proposed).errors
        console.print(
            f"Proposed: liveness.min_bona_fide = {proposed:g}; it refuses {people.count} of {people.n} people, "
            "and flatters, as it was chosen on these very presentations."
        )
    console.print(f"result: {result_file(installation)}, signed")
    if not judged.passed:
        raise RefusedError(f"not passed: {'; '.join(judged.shortfalls)}")
    if _is_try_out(installation):
        console.print("passed, as a try-out: recordings clear no door")
    else:
        console.print("passed: a face alone may open once the reader is started again")


def _table(judged: Judgement) -> Table:
    table = Table(title=f"At liveness.min_bona_fide = {judged.threshold:g}")
    for column in ("", "shown", "unread", "errors", "rate", "95 %", "up to"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for one in (judged.people, *judged.attacks):
        table.add_row(*_cells(one))
    return table


def _cells(one: Tally) -> tuple[str, ...]:
    low, high = one.errors.ci95
    errors, kind = one.errors, "people refused" if one.species == BONA_FIDE else f"{one.species} accepted"
    rate = f"{errors.value:.0%}" if errors.n else "-"
    counts = str(one.presented), str(one.not_read.count), f"{errors.count} of {errors.n}"
    return kind, *counts, rate, f"{low:.0%} to {high:.0%}", f"{one.upper95:.0%}"

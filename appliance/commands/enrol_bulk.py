"""`ostiary enrol bulk`: many people from a folder of photos or a table."""

from __future__ import annotations

import contextlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from appliance import manifest
from appliance.commands.consent import kept, operator, texts_of
from appliance.commands.options import Installation, with_installation
from appliance.drivers.photo import decode_photo, read_bytes
from appliance.enrolment.book import BulkBook
from appliance.enrolment.bulk import BulkDesk, Came
from appliance.enrolment.report import Report
from appliance.enrolment.rows import Agreed, from_folder, from_table
from appliance.errors import RefusedError, UsageError
from appliance.people.enrolment import checked_language
from appliance.people.references import Standard
from appliance.pipeline.reading import open_face_reader

if TYPE_CHECKING:
    from appliance.enrolment.bulk import Outcome
    from appliance.enrolment.rows import BadRow, Row

EACH = "each"  # in the place of who agreed: every person for themself


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--consent-by", help=f"Who agreed for everybody, or {EACH!r}: every person for themself.")
@click.option("--consent-held", is_flag=True, help="State that you hold the consent of every one of these people.")
@click.option("--language", default="en", show_default=True, help="Language in which consent was asked.")
@click.option("--consent-text", "version", default="", help="Version of the text that they agreed to, if it was ours.")
@click.option("--keep-photos", is_flag=True, help="They also agreed to pictures being kept.")
@click.option("--accept-medium", is_flag=True, help="Take photos of medium quality too; the audit log keeps why.")
@click.option("--report", "report_file", type=click.Path(path_type=Path), help="New file: JSON lines, or CSV (.csv).")
@with_installation
def bulk(
    installation: Installation,
    source: Path,
    *,
    consent_by: str | None,
    consent_held: bool,
    language: str,
    version: str,
    keep_photos: bool,
    accept_medium: bool,
    report_file: Path | None,
) -> None:
    """Enrol everybody in SOURCE: a folder of NAME/ and NAME_1.jpg, or a table in CSV (docs/enrolment.md).

    Stopped at any moment and started again, it goes on where it was. Exit 1 where anything was refused.
    """
    if consent_by is not None and not consent_held:
        raise UsageError("--consent-by for everybody needs --consent-held: that you hold the consent of each of them")
    rules = installation.open_rules().rules
    agreed = Agreed(
        "" if consent_by in {None, EACH} else str(consent_by),
        datetime.now(UTC),
        checked_language(language),
        texts_of(installation),
        operator(),
        rules.time_zone if rules is not None else None,
        version,
        photos=keep_photos,
        stated=consent_by is not None,
    )
    rows = from_folder(source, agreed) if source.is_dir() else from_table(source, agreed)
    counts = _take(installation, rows, report_file, accept_medium=accept_medium)
    click.echo(", ".join(f"{counts[came]} {came}" for came in Came))
    if counts[Came.REFUSED]:
        raise RefusedError(f"{counts[Came.REFUSED]} of {len(rows)} were refused")


def _take(
    installation: Installation, rows: list[Row | BadRow], report_file: Path | None, *, accept_medium: bool
) -> Counter[Came]:
    counts: Counter[Came] = Counter()
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with contextlib.ExitStack() as opening:
        desk = _desk(installation, opening, accept_medium=accept_medium)
        report = opening.enter_context(contextlib.closing(Report(report_file))) if report_file is not None else None
        bar = opening.enter_context(Progress(*columns, console=console, disable=not console.is_terminal))
        for outcome in bar.track(desk.take(rows), total=len(rows)):
            counts[outcome.came] += 1
            _tell(outcome, bar.console)
            if report is not None:
                report.add(outcome)
    return counts


def _tell(outcome: Outcome, console: Console) -> None:
    for one in outcome.refused:
        about = one.why if one.photo and one.photo in one.why else f"{one.photo}: {one.why}" if one.photo else one.why
        line = f"{outcome.where}: {about}"
        console.print("".join(letter if letter.isprintable() else "?" for letter in line), markup=False, soft_wrap=True)


def _desk(installation: Installation, opening: contextlib.ExitStack, *, accept_medium: bool) -> BulkDesk:
    recognition = installation.settings.recognition
    measured = manifest.embedder(recognition, installation.models_folder).measured
    gallery = opening.enter_context(installation.open_gallery())
    reader = open_face_reader(installation.settings, installation.models_folder)
    return BulkDesk(
        gallery,
        opening.enter_context(installation.open_audit()),
        opening.enter_context(BulkBook(installation.enrolment_file, gallery.keyring.secret("bulk"))),
        reader,
        Standard(measured.impostors, recognition.target_fpir, accept_medium),
        content=read_bytes,
        decode=decode_photo,
        portrait=lambda photo: kept(photo, reader),
    )

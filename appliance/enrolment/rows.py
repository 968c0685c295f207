"""What is enrolled in bulk, one row a person: from a folder of photos, or from a table in CSV."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.access.schedule import instant
from appliance.errors import RefusedError, UsageError
from appliance.people.enrolment import Particulars, checked, checked_consent, checked_name
from appliance.people.person import Consent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from appliance.people.consents import ConsentTexts

MAX_TABLE_BYTES = 64 * 1024 * 1024
SUFFIXES = (".jpg", ".jpeg", ".png")
SHOWN = 80  # characters of what is wrong
BETWEEN = "|"  # photos, groups and tags in one cell
REQUIRED = ("name", "photos")
COLUMNS = (
    *REQUIRED,
    "external_id",
    "groups",
    "tags",
    "valid_until",
    "consent_by",
    "consent_at",
    "language",
    "consent_text",
    "keep_photos",
)
_NUMBERED = re.compile(r"(.+)_\d+")
_YES, _NO = {"yes", "true", "1"}, {"", "no", "false", "0"}


@dataclass(frozen=True, slots=True)
class Agreed:
    """What whoever runs the command states of everybody's consent; a row may say something else."""

    given_by: str  # "" for each person themself
    given_at: datetime
    language: str
    texts: ConsentTexts
    recorded_by: str
    zone: ZoneInfo | None = None  # of days and times; None for the machine's own
    version: str = ""  # of the consent text; "" for words that we do not know
    photos: bool = False
    stated: bool = False  # that there is a consent of each of these people; else a row must have one

    def consent(self, name: str, row: Mapping[str, str]) -> Consent:
        """Return the consent of one row. Raises RefusedError where there is none, or it cannot be one."""
        given_by = row.get("consent_by", "")
        if not given_by and not self.stated:
            raise RefusedError("no consent: the column consent_by is empty, and nothing is stated for everybody")
        language, version = row.get("language") or self.language, row.get("consent_text") or self.version
        read = self.texts.read(language, version) if version else None
        return checked_consent(
            Consent(
                given_by or self.given_by or name,
                _moment(row["consent_at"], "consent_at", self.zone) if row.get("consent_at") else self.given_at,
                language,
                read.version if read is not None else "",
                read.sha256 if read is not None else "",
                photos=_flag(row["keep_photos"]) if "keep_photos" in row else self.photos,
                recorded_by=self.recorded_by,
            )
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One person to be enrolled."""

    where: str  # what messages call it: a line, or a path
    name: str
    photos: tuple[Path, ...]
    consent: Consent
    particulars: Particulars


@dataclass(frozen=True, slots=True)
class BadRow:
    """One that cannot be, and why, in one line."""

    where: str
    name: str
    why: str


def from_folder(folder: Path, agreed: Agreed) -> list[Row | BadRow]:
    """Return one row for each folder, named as the person, and each photo beside it: NAME.jpg, NAME_1.jpg, NAME_2.jpg.

    By name; what is hidden is left out. Raises UsageError where the folder cannot be read or has nothing in it.
    """
    photos: dict[str, list[Path]] = {}
    try:
        for path in sorted(folder.iterdir()):
            if path.name.startswith("."):
                continue
            if path.is_dir():
                inside = (one for one in sorted(path.iterdir()) if not one.name.startswith("."))
                photos.setdefault(path.name, []).extend(inside)
            elif path.suffix.lower() in SUFFIXES:
                numbered = _NUMBERED.fullmatch(path.stem)
                photos.setdefault(numbered[1] if numbered else path.stem, []).append(path)
    except OSError as fault:
        raise UsageError(f"folder {folder} cannot be read: {fault.strerror}") from fault
    if not photos:
        raise UsageError(f"folder {folder} holds no photo and no folder of photos")
    return [_row(str(folder / name), {"name": name}, paths, agreed) for name, paths in photos.items()]


def from_table(path: Path, agreed: Agreed) -> list[Row | BadRow]:
    """Return one row for each line of a CSV file, UTF-8 with or without a mark, `,` or `;` between cells.

    Photos are sought below the file's own folder and nowhere else. Raises UsageError, one line, where the file cannot
    be read as a table of the columns that there are.
    """
    text = _read(path)
    header = text.partition("\n")[0]
    delimiter = ";" if header.count(";") > header.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row | BadRow] = []
    try:
        columns = [cell.strip().lower() for cell in next(reader, [])]
        _check_columns(columns, path)
        begun = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(_of_line(f"line {begun}", cells, columns, path.parent, agreed))
            begun = reader.line_num + 1
    except csv.Error as fault:
        raise UsageError(f"table {path}, line {reader.line_num}: {fault}") from fault
    return rows


def _of_line(where: str, cells: list[str], columns: list[str], folder: Path, agreed: Agreed) -> Row | BadRow:
    if len(cells) != len(columns):
        return BadRow(where, cells[0][:SHOWN], f"has {len(cells)} cells; {len(columns)} are wanted")
    row = {column: cell.strip() for column, cell in zip(columns, cells, strict=True)}
    try:
        photos = [_below(folder, photo) for photo in _listed(row["photos"])]
    except RefusedError as refusal:
        return BadRow(where, row["name"][:SHOWN], str(refusal))
    return _row(where, row, photos, agreed)


def _row(where: str, row: Mapping[str, str], photos: Sequence[Path], agreed: Agreed) -> Row | BadRow:
    if not photos:
        return BadRow(where, row["name"][:SHOWN], "no photo is given")
    try:
        name = checked_name(row["name"], "name")
        valid_until = row.get("valid_until", "")
        particulars = Particulars(
            row.get("external_id", ""),
            tags=frozenset(_listed(row.get("tags", ""))),
            groups=frozenset(_listed(row.get("groups", ""))),
            valid_until=_moment(valid_until, "valid_until", agreed.zone, ends=True) if valid_until else None,
        )
        return Row(where, name, tuple(photos), agreed.consent(name, row), checked(particulars))
    except RefusedError as refusal:
        return BadRow(where, row["name"][:SHOWN], str(refusal))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TABLE_BYTES + 1)
    except OSError as fault:
        raise UsageError(f"table {path} cannot be read: {fault.strerror}") from fault
    if len(content) > MAX_TABLE_BYTES:
        raise UsageError(f"table {path} is larger than {MAX_TABLE_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        raise UsageError(f"table {path}, line {line} is not UTF-8; save it as CSV UTF-8") from fault


def _check_columns(columns: list[str], path: Path) -> None:
    unknown = [column for column in columns if column not in COLUMNS]
    missing = [column for column in REQUIRED if column not in columns]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    for what, found in (("an unknown", unknown), ("no", missing), ("twice the", twice)):
        if found:
            raise UsageError(
                f"table {path} has {what} column {found[0]!r}; its first line may name: {', '.join(COLUMNS)}"
            )


def _below(folder: Path, name: str) -> Path:
    """Return the path of a photo. Raises RefusedError where it would lie outside the folder."""
    try:
        path = (folder / name).resolve()
    except (OSError, ValueError) as fault:  # ValueError: a NUL in it
        raise RefusedError(f"photo {name[:SHOWN]!r} is no path") from fault
    if not path.is_relative_to(folder.resolve()):
        raise RefusedError(f"photo {name[:SHOWN]!r} lies outside the table's folder")
    return path


def _listed(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(BETWEEN) if part.strip()]


def _moment(text: str, column: str, zone: ZoneInfo | None, *, ends: bool = False) -> datetime:
    try:
        return instant(text, zone, ends=ends)
    except ValueError as fault:
        raise RefusedError(f"{column} is {text[:SHOWN]!r}; {fault}") from fault


def _flag(text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise RefusedError(f"keep_photos is {text[:SHOWN]!r}; yes or no is wanted")
    return text.lower() in _YES

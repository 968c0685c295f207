"""Handing out everything of one person: a ZIP of JSON, a page to read, and their photos; whole or not at all."""

from __future__ import annotations

import html
import io
import json
import zipfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

from appliance.audit import as_payload
from appliance.contract import EventType
from appliance.people.rights import facts
from appliance.records import Event
from appliance.whole_file import new_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from appliance.access.ledger import Ledger
    from appliance.audit import AuditLog
    from appliance.people.gallery import Gallery
    from appliance.people.passes import PassBook
    from appliance.records import Actor

FORMAT = "ostiary person 1"
_UNKEPT = ("the face of any visit", "the picture that an attendant was shown")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where something of a person may lie."""

    gallery: Gallery
    passes: PassBook
    ledger: Ledger
    audit: AuditLog


@dataclass(frozen=True, slots=True)
class Everything:
    """All that is held of one person."""

    person_id: str
    record: dict[str, Any]  # ready for JSON
    photos: tuple[bytes, ...]  # JPEG


def gather(sources: Sources, person_id: str) -> Everything:
    """Return all that is held of the person.

    Raises RefusedError for an id that is not enrolled, StorageError where something of theirs cannot be read.
    """
    gallery = sources.gallery
    details, photos = gallery.details(person_id), gallery.photos(person_id)
    passage = sources.ledger.passage(person_id)
    record = {
        "format": FORMAT,
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "person_id": person_id,
        "name": details.name,
        "external_id": details.external_id,
        "notes": details.notes,
        "tags": sorted(details.tags),
        "groups": sorted(details.groups),
        "cards": list(details.cards),
        "enrolled_at": details.enrolled_at.isoformat(),
        "changed_at": details.changed_at.isoformat(),
        "last_let_in_on": None if details.last_seen_on is None else details.last_seen_on.isoformat(),
        "max_fpir": details.max_fpir,
        "consent": _plain(asdict(details.consent)),
        "access": facts(details.subject),
        "pin": "set" if details.subject.pin_hash else "none",  # a hash of it would help nobody but a thief
        "references": list(_references(gallery, person_id)),
        "photos": [f"photos/{number}.jpg" for number in range(1, len(photos) + 1)],
        "passes": [_plain(asdict(one)) for one in sources.passes.passes() if one.person_id == person_id],
        "last_passage": None if passage is None else {"side": passage.side.value, "at": passage.at.isoformat()},
        "audit_log": [as_payload(entry) for entry in sources.audit.naming(person_id)],
        "never_kept": list(_UNKEPT),
    }
    return Everything(person_id, record, photos)


def export(sources: Sources, person_id: str, path: Path, *, actor: Actor, method: str) -> Everything:
    """Write all that is held of the person to a new ZIP file that its owner alone can read, and return it.

    Raises as `gather`, RefusedError where the file exists, StorageError where it cannot be written; then there is none.
    The log keeps that it was done before the file is there.
    """
    everything = gather(sources, person_id)
    with new_file(path) as file:
        _pack(everything, file)
        sources.audit.append(_exported(everything, actor, method))
    return everything


def packed(sources: Sources, person_id: str, *, actor: Actor, method: str) -> bytes:
    """Return the ZIP that `export` would write, once the log keeps that it was handed out. Raises as `gather`."""
    everything, made = gather(sources, person_id), io.BytesIO()
    _pack(everything, made)
    sources.audit.append(_exported(everything, actor, method))
    return made.getvalue()


def _pack(everything: Everything, file: IO[bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("person.json", json.dumps(everything.record, ensure_ascii=False, indent=1))
        archive.writestr("person.html", page(everything.record))
        for name, photo in zip(everything.record["photos"], everything.photos, strict=True):
            archive.writestr(name, photo, zipfile.ZIP_STORED)


def _exported(everything: Everything, actor: Actor, method: str) -> Event:
    counted = f"{len(everything.record['references'])} references, {len(everything.photos)} photos"
    detail = f"person {everything.person_id}, export of {counted}, {len(everything.record['audit_log'])} entries"
    return Event(EventType.EXPORTED, datetime.now(UTC), actor, method, detail=detail)


def page(record: Mapping[str, Any]) -> str:
    """Return the record as a page for people, without scripts and with nothing from elsewhere."""
    rows = "\n".join(f"<tr><th>{html.escape(name)}</th><td>{_cell(value)}</td></tr>" for name, value in record.items())
    title = html.escape(f"{record['name']} ({record['person_id']})")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        "<style>body{font:1rem sans-serif}th{text-align:left;vertical-align:top}td,th{padding:.2rem .6rem}</style>"
        f"<h1>{title}</h1><table>\n{rows}\n</table></html>\n"
    )


def _cell(value: object) -> str:
    """Return a value as HTML; lists and records as lines, templates by their length."""
    match value:
        case {"vector": list(vector), **rest}:
            return _cell({**rest, "vector": f"{len(vector)} numbers, in person.json"})
        case dict():
            return "<br>".join(f"{html.escape(str(name))}: {_cell(one)}" for name, one in value.items())
        case list():
            return "<hr>".join(_cell(one) for one in value) or "none"
        case None | "":
            return "none"
    return html.escape(str(value))


def _references(gallery: Gallery, person_id: str) -> Iterator[dict[str, Any]]:
    """Yield facts and template of each reference; the template as the model gave it, not as this device turns it."""
    vectors = gallery.vectors(person_id)
    for one in gallery.references(person_id):
        vector = vectors.get(one.reference_id)
        plain = None if vector is None else gallery.protection.restore(vector).vector.round(6).tolist()
        yield {**_plain(asdict(one)), "grade": one.grade.name.lower(), "vector": plain}


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: one.isoformat() if isinstance(one, datetime) else one for name, one in fields.items()}

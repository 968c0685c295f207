"""What a disk holds after a power cut: everything that was synced, and of the rest whatever chance left of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random

SECTOR_BYTES = 512


class Kind(Enum):
    """What a program asks of a file system."""

    CREATE = auto()  # a name for a file, new or not
    UNLINK = auto()
    WRITE = auto()
    TRUNCATE = auto()
    SYNC = auto()
    SYNC_FAILED = auto()  # the kernel takes the pages for clean from then on, whether they were written or not
    SYNC_FOLDER = auto()


class Op(NamedTuple):
    """One request, in the order of the requests."""

    kind: Kind
    file: int = 0  # which file, whatever its name
    name: str = ""  # CREATE and UNLINK
    offset: int = 0  # WRITE; TRUNCATE: the new length
    data: bytes = b""  # WRITE


@dataclass(slots=True)
class _File:
    synced: bytearray = field(default_factory=bytearray)
    pending: list[Op] = field(default_factory=list)  # WRITE and TRUNCATE since the latest sync


class Platter:
    """One folder on a disk, request by request."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[str, int] = {}  # as the disk has them
        self._renamed: list[Op] = []  # CREATE and UNLINK since the folder's latest sync

    @property
    def dirty(self) -> bool:
        """Whether a power cut here could lose anything."""
        return bool(self._renamed) or any(file.pending for file in self._files.values())

    def take(self, op: Op, chance: random.Random) -> None:
        """Let this request happen; chance decides what a failed sync wrote."""
        file = self._files.setdefault(op.file, _File())
        match op.kind:
            case Kind.CREATE | Kind.UNLINK:
                self._renamed.append(op)
            case Kind.WRITE | Kind.TRUNCATE:
                file.pending.append(op)
            case Kind.SYNC:
                for one in file.pending:
                    _put(file.synced, one)
                file.pending.clear()
            case Kind.SYNC_FAILED:
                file.synced = _torn(file, chance)
                file.pending.clear()
            case Kind.SYNC_FOLDER:
                for one in self._renamed:
                    _name(self._names, one)
                self._renamed.clear()

    def cut(self, chance: random.Random) -> dict[str, bytes]:
        """Return the files, by name, as they are found after a power cut at this moment."""
        names = dict(self._names)
        kept = chance.random()
        for op in self._renamed:
            if chance.random() < kept:
                _name(names, op)
        contents = {file: bytes(_torn(self._files[file], chance)) for file in sorted(set(names.values()))}
        return {name: contents[file] for name, file in names.items()}


def _name(names: dict[str, int], op: Op) -> None:
    if op.kind is Kind.CREATE:
        names[op.name] = op.file
    else:
        names.pop(op.name, None)


def _put(content: bytearray, op: Op) -> None:
    if op.kind is Kind.TRUNCATE:
        del content[op.offset :]
    content.extend(bytes(max(0, op.offset - len(content))))
    content[op.offset : op.offset + len(op.data)] = op.data


def _torn(file: _File, chance: random.Random) -> bytearray:
    """Return the file with each sector of each write since its sync there or not: all, none, or any of them."""
    kept = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    content = bytearray(file.synced)
    for op in file.pending:
        for part in _sectors(op):
            if chance.random() < kept:
                _put(content, part)
    longest = max((op.offset + len(op.data) for op in file.pending), default=0)
    if chance.random() < 0.2 and longest > len(content):  # room that was given to the file and never written
        content.extend(chance.randbytes(longest - len(content)))
    return content


def _sectors(op: Op) -> list[Op]:
    if op.kind is Kind.TRUNCATE:
        return [op]
    end = op.offset + len(op.data)
    edges = [op.offset, *range((op.offset // SECTOR_BYTES + 1) * SECTOR_BYTES, end, SECTOR_BYTES), end]
    return [
        op._replace(offset=start, data=op.data[start - op.offset : stop - op.offset])
        for start, stop in itertools.pairwise(edges)
    ]

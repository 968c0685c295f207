"""The roll: the gallery as the matcher sees it, kept up with the database change by change."""

from __future__ import annotations

import gc
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from appliance.people.snapshot import Finding, Ids, Sound, judge, taken
from appliance.records import GallerySnapshot, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from appliance.people.snapshot import StoredReference

_log = logging.getLogger(__name__)


class News(NamedTuple):
    """What has changed in the database, all of one moment."""

    revision: int
    mark: int  # number of the newest change
    touched: set[str] | None  # reference ids that came, changed or went; None where everything is read anew
    rows: Iterator[list[StoredReference] | Sound]  # what there is of these, by age, a few thousand at a time


@dataclass(frozen=True, slots=True, eq=False)
class _Page:
    """A snapshot and what is remembered beside it."""

    snapshot: GallerySnapshot
    prints: NDArray[np.int64]  # (N,) one number for each row, the same for the same vector


class Roll:
    """The sound references of one model. A row is judged once, when it is new; a change costs what it changes.

    `read` opens the news after the change of a number, and once more what was refused before; `indexed` packs a
    snapshot that has become large.
    """

    def __init__(
        self,
        model_id: str,
        dimension: int,
        read: Callable[[int | None, Iterable[str]], AbstractContextManager[News]],
        indexed: Callable[[GallerySnapshot], GallerySnapshot],
    ) -> None:
        self.model_id = model_id
        self._dimension = dimension
        self._read = read
        self._indexed = indexed
        self._mark: int | None = None
        self._page = self._empty()

    def _empty(self) -> _Page:
        nobody = Ids.of(())
        matrix = frozen(np.empty((0, self._dimension), np.float32))
        return _Page(GallerySnapshot(matrix, nobody, nobody, self.model_id, -1), np.empty(0, np.int64))

    @property
    def snapshot(self) -> GallerySnapshot:
        """The gallery as of the latest refresh."""
        return self._page.snapshot

    def refresh(self) -> GallerySnapshot:
        """Return the gallery as of now, and log every finding about what is new. A fault leaves the roll as it was."""
        page = self._page
        with self._read(self._mark, page.snapshot.quarantined) as news:
            page = self._empty() if news.touched is None else page
            page = self._without(page, news)
            kept = page.snapshot.size
            page = self._with_all(page, news)
        if page.snapshot.size > kept:
            _tell(_conflicts(page, kept))
        if page.snapshot.index is None:  # texts are read quicker, and few of them are small enough
            people, references = tuple(page.snapshot.person_ids), tuple(page.snapshot.reference_ids)
            # By column: a product with 1,000 rows takes a tenth less time than by row.
            matrix = frozen(np.asfortranarray(page.snapshot.matrix))
            shown = replace(page.snapshot, person_ids=people, reference_ids=references, matrix=matrix)
            page = replace(page, snapshot=shown)
        self._page, self._mark = page, news.mark
        return page.snapshot

    def _with_all(self, page: _Page, news: News) -> _Page:
        if news.touched is not None:
            for rows in news.rows:
                page = self._with(page, rows)
            return page
        # A whole gallery: the next rows are opened while these are judged and packed beside.
        with _no_collecting(), ThreadPoolExecutor(1, "roll") as beside:
            grown = beside.submit(lambda: page)
            for rows in news.rows:
                grown = beside.submit(self._with, grown.result(), rows)
            return grown.result()

    def _with(self, page: _Page, rows: Sequence[StoredReference] | Sound) -> _Page:
        old = page.snapshot
        if isinstance(rows, Sound):
            new = taken(rows, self.model_id, self._dimension, old.revision)
            if new is not None:
                return self._grown(page, new, rows.vectors)
            rows = rows.stored(self.model_id, self._dimension)
        new, findings = judge(rows, self.model_id, self._dimension, old.revision)
        _tell(finding for finding in findings if finding.quarantined)
        if foreign := sum(
            not finding.quarantined for finding in findings
        ):  # in one line: there may be one of everybody
            models = ", ".join(sorted({row.model_id for row in rows} - {self.model_id}))
            _log.warning("%d references are of %s, which is not in use; enrol these people again", foreign, models)
        by_id = {row.reference_id: row.vector for row in rows}
        return self._grown(page, new, [by_id[one] for one in new.reference_ids])

    def _grown(self, page: _Page, new: GallerySnapshot, vectors: Sequence[bytes | None]) -> _Page:
        old, prints = page.snapshot, np.array([hash(one) for one in vectors], np.int64)
        grown = _changed(old, np.ones(old.size, np.bool_), new)
        return _Page(
            self._indexed(replace(grown, quarantined=(*old.quarantined, *new.quarantined))),
            np.concatenate((page.prints, prints)),
        )

    def _without(self, page: _Page, news: News) -> _Page:
        """Return the page at the revision of the news, without what was touched; what was refused is judged again."""
        old = replace(page.snapshot, revision=news.revision, quarantined=())
        if not news.touched or not old.size:
            return replace(page, snapshot=old)
        nothing, _ = judge((), self.model_id, self._dimension, news.revision)
        touched = np.array([one.encode() for one in news.touched], np.bytes_)
        keep = ~np.isin(Ids.of(old.reference_ids).encoded, touched)
        return replace(page, snapshot=old) if keep.all() else _Page(_changed(old, keep, nothing), page.prints[keep])


@contextmanager
def _no_collecting() -> Iterator[None]:
    """Look for no cycles meanwhile: there are none among rows, and looking through 300,000 takes a second."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _changed(old: GallerySnapshot, keep: NDArray[np.bool_], new: GallerySnapshot) -> GallerySnapshot:
    """Return the old one's rows that are kept and then the new one's."""
    person_ids = _joined(old.person_ids, keep, new.person_ids)
    reference_ids = _joined(old.reference_ids, keep, new.reference_ids)
    if old.index is not None:
        index = old.index.changed(keep, new.matrix)
        return replace(old, person_ids=person_ids, reference_ids=reference_ids, index=index)
    matrix = frozen(np.concatenate((old.matrix[keep], new.matrix)) if old.size else new.matrix)
    return replace(old, matrix=matrix, person_ids=person_ids, reference_ids=reference_ids)


def _joined(old: Sequence[str], keep: NDArray[np.bool_], new: Sequence[str]) -> Ids:
    return Ids(np.concatenate((Ids.of(old).encoded[keep], Ids.of(new).encoded)))


def _conflicts(page: _Page, since: int) -> Iterator[Finding]:
    """Give every row from row `since` on that is another person's as well, and that other."""
    order = np.argsort(page.prints, kind="stable")
    same = np.flatnonzero(np.diff(page.prints[order]) == 0)
    people, references = page.snapshot.person_ids, page.snapshot.reference_ids
    for older, newer in zip(order[same].tolist(), order[same + 1].tolist(), strict=True):
        if newer >= since and people[older] != people[newer]:
            for one, other in ((older, newer), (newer, older)):
                reason = f"is the same as {references[other]}"
                yield Finding(references[one], people[one], reason, quarantined=False)


def _tell(findings: Iterable[Finding]) -> None:
    for finding in findings:
        _log.warning("reference %s of person %s %s", finding.reference_id, finding.person_id, finding.reason)

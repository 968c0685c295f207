"""The books: people and the audit log, as the web's own thread has them open."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.audit import AuditLog
    from appliance.commands.options import Installation
    from appliance.people.gallery import Gallery


@dataclass(frozen=True, slots=True)
class Books:
    """Belongs to one thread. Every change of people goes through a use-case that takes both."""

    installation: Installation
    gallery: Gallery
    audit: AuditLog


@contextmanager
def open_books(installation: Installation) -> Iterator[Books]:
    """Give the books while the block runs. Raises StorageError."""
    with ExitStack() as closing:
        gallery = closing.enter_context(installation.open_gallery())
        yield Books(installation, gallery, closing.enter_context(installation.open_audit()))

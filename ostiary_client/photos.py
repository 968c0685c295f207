"""Photos for the verb `enrol.photo`, cut into parts that fit a command each."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PART_BYTES = 45_000  # in base64 60,000 characters, within a command of 65,536 bytes


def photo_parts(photos: Sequence[bytes], person: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the args of one `enrol.photo` after the other, to be sent in this order, each after the reply to the last.

    `person` says who it is and that they agreed: the args of `enrol.start`.
    """
    upload_id = uuid.uuid4().hex
    for number, photo in enumerate(photos, start=1):
        pieces = [photo[at : at + PART_BYTES] for at in range(0, len(photo), PART_BYTES)]
        for place, piece in enumerate(pieces, start=1):
            args: dict[str, Any] = {
                "upload_id": upload_id,
                "photo": number,
                "photos": len(photos),
                "part": place,
                "parts": len(pieces),
                "data": base64.b64encode(piece).decode(),
            }
            yield args | ({"person": dict(person)} if (number, place) == (1, 1) else {})

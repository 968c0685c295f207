"""Photos that arrive in parts: put together in order, bounded, and forgotten when nobody goes on.

Nothing here decodes, reads a face or speaks to anybody; time is given.
"""

from __future__ import annotations

import base64
import binascii
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.errors import RefusedError

if TYPE_CHECKING:
    from appliance.people.references import Look
    from appliance.verbs import Consented, EnrolPhoto

MAX_OPEN = 4  # people who are being enrolled from photos at a time, by all clients together
MAX_PHOTO_BYTES = 8 * 1024 * 1024
IDLE_S = 120.0
PHOTOS_A_MINUTE = 30  # of one client: whoever tries photos against the gallery by the thousand takes hours


@dataclass(slots=True)
class Upload:
    """One person's photos, as far as they have come."""

    client_id: str
    upload_id: str
    person: Consented
    photos: int  # how many there will be
    touched_s: float  # when the last part came
    looks: list[Look] = field(default_factory=list)  # one of each photo that was read
    parts: int = 0  # of the photo that is arriving; 0 between two photos
    arrived: int = 0  # parts of it
    data: bytearray = field(default_factory=bytearray)
    reading: bool = False  # the last photo is being read

    @property
    def photo(self) -> int:
        """The number of the photo that is arriving, or comes next."""
        return len(self.looks) + 1

    @property
    def name(self) -> str:
        """What messages call that photo."""
        return f"{self.upload_id}#{self.photo}"

    def take(self) -> bytes:
        """Return the whole photo, which is forgotten here."""
        whole = bytes(self.data)
        self.again()
        return whole

    def again(self) -> None:
        """Wait for this photo, or the next, from its first part."""
        self.data.clear()
        self.parts = self.arrived = 0


class Uploads:
    """Every upload that is open. Belongs to the loop's thread; times are those of one monotonic clock."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], Upload] = {}
        self._begun: dict[str, deque[float]] = {}  # when the last photos of each client began

    def add(self, client_id: str, args: EnrolPhoto, now_s: float) -> Upload:
        """Return the upload with this part in it; it is whole where `arrived` is `parts`.

        Raises RefusedError for a part out of turn, one that is no base64, for too much and for too many.
        """
        self.forget_idle(now_s)
        upload = self._open.get((client_id, args.upload_id)) or self._begin(client_id, args, now_s)
        _demand_turn(upload, args)
        if args.part == 1:
            self._count(client_id, now_s)
            upload.parts = args.parts
        upload.data += _decoded(args.data)
        if len(upload.data) > MAX_PHOTO_BYTES:
            upload.again()
            raise RefusedError(f"photo {upload.name} is larger than {MAX_PHOTO_BYTES:,} bytes, and was forgotten")
        upload.arrived, upload.touched_s = args.part, now_s
        self._open[client_id, args.upload_id] = upload
        return upload

    def close(self, upload: Upload) -> None:
        """Forget an upload."""
        self._open.pop((upload.client_id, upload.upload_id), None)

    def forget_idle(self, now_s: float) -> None:
        """Forget every upload that nobody has gone on with for two minutes."""
        for upload in tuple(self._open.values()):
            if not upload.reading and not now_s - upload.touched_s < IDLE_S:
                self.close(upload)

    def _begin(self, client_id: str, args: EnrolPhoto, now_s: float) -> Upload:
        if (args.photo, args.part) != (1, 1):
            raise RefusedError(f"upload {args.upload_id} is not open; it begins with part 1 of photo 1")
        if args.person is None:
            raise RefusedError("args.person of enrol.photo is missing; part 1 of photo 1 says who it is")
        if len(self._open) >= MAX_OPEN:
            raise RefusedError(f"{MAX_OPEN} uploads are open, and no more are taken; one is forgotten after 120 s")
        return Upload(client_id, args.upload_id, args.person, args.photos, now_s)

    def _count(self, client_id: str, now_s: float) -> None:
        begun = self._begun.setdefault(client_id, deque(maxlen=PHOTOS_A_MINUTE))
        if len(begun) == PHOTOS_A_MINUTE and now_s - begun[0] < 60:
            raise RefusedError(f"{PHOTOS_A_MINUTE} photos a minute are taken of one client; wait a moment")
        begun.append(now_s)


def _demand_turn(upload: Upload, args: EnrolPhoto) -> None:
    if upload.reading:
        raise RefusedError(f"photo {upload.name} is still being read; the next part comes after its reply")
    if args.photos != upload.photos:
        raise RefusedError(f"args.photos of enrol.photo is {args.photos}; {upload.photos} were announced")
    part = upload.arrived + 1
    if (args.photo, args.part) not in {(upload.photo, part), (upload.photo, 1)}:  # or once more from its beginning
        given = f"part {args.part} of photo {args.photo}"
        raise RefusedError(
            f"{given} of upload {upload.upload_id} is out of turn; part {part} of {upload.photo} is next"
        )
    if args.part == 1:
        upload.again()
    if args.part > args.parts or (args.part > 1 and args.parts != upload.parts):
        raise RefusedError(f"args.parts of enrol.photo is {args.parts}; {upload.parts or args.part} or more are needed")
    if args.person is not None and (args.photo, args.part) != (1, 1):
        raise RefusedError("args.person of enrol.photo is said with part 1 of photo 1 only")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as fault:
        raise RefusedError("args.data of enrol.photo is not base64") from fault

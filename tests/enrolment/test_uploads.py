"""Photos in parts: put together in order, bounded, forgotten."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment.uploads import IDLE_S, MAX_OPEN, MAX_PHOTO_BYTES, PHOTOS_A_MINUTE, Upload, Uploads
from appliance.errors import RefusedError
from appliance.verbs import Consented, EnrolPhoto

ADA = Consented(name="Ada", consent_by="Ada")
FULL = base64.b64encode(b"x" * 45_000).decode()


def part(number: int = 1, of: int = 1, data: bytes = b"photo", **said: Any) -> EnrolPhoto:  # noqa: ANN401 - any arg
    """Return one part; of the first photo, the first part says who it is."""
    fields: dict[str, Any] = {"upload_id": "u1", "part": number, "parts": of} | said
    if (fields.get("photo", 1), number) == (1, 1):
        fields.setdefault("person", ADA)
    return EnrolPhoto(data=base64.b64encode(data).decode(), **fields)


@given(st.binary(min_size=1, max_size=400), st.integers(1, 40))
def test_parts_become_the_photo_again(photo: bytes, size: int) -> None:
    """Whatever the size of its parts, a photo is whole at the last one and the same byte for byte."""
    pieces = [photo[at : at + size] for at in range(0, len(photo), size)]
    uploads = Uploads()
    upload: Upload | None = None
    for number, piece in enumerate(pieces, start=1):
        assert upload is None or upload.arrived < upload.parts
        upload = uploads.add("desk", part(number, len(pieces), piece), 1.0)
    assert upload is not None
    assert upload.arrived == upload.parts
    assert upload.take() == photo


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)), max_size=12))
def test_no_order_of_parts_makes_a_photo_of_the_wrong_pieces(sent: list[tuple[int, int, int]]) -> None:
    """D6: parts out of turn are refused, and whatever comes whole is of one photo's parts, in their order."""
    uploads = Uploads()
    for photo, number, of in sent:
        try:
            upload = uploads.add("desk", part(number, of, f"{photo}.{number}/{of};".encode(), photo=photo, photos=4), 1)
        except RefusedError:
            continue
        if upload.arrived == upload.parts:
            whole = "".join(f"{upload.photo}.{one}/{upload.parts};" for one in range(1, upload.parts + 1))
            assert upload.take().decode() == whole


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (part(2, 3), "not open; it begins with part 1 of photo 1"),
        (part(photo=2, photos=2), "not open"),
        (EnrolPhoto(upload_id="u1", data="YWJj"), "says who it is"),
        (EnrolPhoto(upload_id="u1", data="no base64!", person=ADA), "is not base64"),
    ],
)
def test_what_cannot_be_a_beginning_is_refused(args: EnrolPhoto, why: str) -> None:
    """D6: an upload begins with its first part, says who it is, and is base64; nothing is kept of anything else."""
    uploads = Uploads()
    with pytest.raises(RefusedError, match=why):
        uploads.add("desk", args, 1.0)
    assert uploads.add("desk", part(), 1.0).arrived == 1


def test_what_goes_on_must_fit_what_began() -> None:
    """Another number of photos or parts, a person said twice, or a part while its photo is read is refused."""
    uploads = Uploads()
    upload = uploads.add("desk", part(1, 3, photos=2), 1.0)
    for args, why in (
        (part(2, 3, photos=3), "2 were announced"),
        (part(3, 3, photos=2), "part 2 of 1 is next"),
        (part(2, 4, photos=2), "3 or more are needed"),
        (part(2, 3, photos=2, person=ADA), "with part 1 of photo 1 only"),
    ):
        with pytest.raises(RefusedError, match=why):
            uploads.add("desk", args, 1.0)
    upload.reading = True
    with pytest.raises(RefusedError, match="still being read"):
        uploads.add("desk", part(2, 3, photos=2), 1.0)
    upload.reading = False
    assert uploads.add("desk", part(2, 3, photos=2), 1.0).arrived == 2


def test_uploads_of_two_clients_are_apart() -> None:
    """A13: what one client sends never becomes a part of another's photo, though both chose one name."""
    uploads = Uploads()
    uploads.add("desk", part(1, 2, b"desk-"), 1.0)
    uploads.add("guard", part(1, 2, b"guard-"), 1.0)
    assert uploads.add("desk", part(2, 2, b"1"), 1.0).take() == b"desk-1"
    assert uploads.add("guard", part(2, 2, b"2"), 1.0).take() == b"guard-2"


def test_memory_is_bounded() -> None:
    """D6: a photo over 8 MB is forgotten, four uploads are open at most, and one that nobody goes on with goes."""
    uploads = Uploads()
    first = EnrolPhoto(upload_id="u1", parts=256, data=FULL, person=ADA)
    upload = uploads.add("desk", first, 1.0)
    for number in range(2, MAX_PHOTO_BYTES // 45_000 + 1):
        uploads.add("desk", EnrolPhoto(upload_id="u1", part=number, parts=256, data=FULL), 1.0)
    with pytest.raises(RefusedError, match="larger than 8,388,608 bytes"):
        uploads.add("desk", EnrolPhoto(upload_id="u1", part=upload.arrived + 1, parts=256, data=FULL), 1.0)
    assert len(upload.data) == 0
    for number in range(2, MAX_OPEN + 1):
        uploads.add("desk", part(upload_id=f"u{number}"), 1.0)
    with pytest.raises(RefusedError, match="4 uploads are open"):
        uploads.add("desk", part(upload_id="u9"), 1.0)
    uploads.add("desk", part(upload_id="u9"), 1.0 + IDLE_S)


def test_a_client_can_try_so_many_photos_a_minute() -> None:
    """B13: whoever tries photos against the gallery one after the other has to wait."""
    uploads = Uploads()
    for number in range(PHOTOS_A_MINUTE):
        uploads.close(uploads.add("desk", part(), 1.0 + number))
    with pytest.raises(RefusedError, match="30 photos a minute"):
        uploads.add("desk", part(), 40.0)
    uploads.close(uploads.add("guard", part(), 40.0))
    uploads.close(uploads.add("desk", part(), 61.5))

"""Pictures that come with a request."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from appliance.api.native.problems import ApiError

if TYPE_CHECKING:
    from fastapi import UploadFile

MAX_IMAGE = 6 * 1024 * 1024
_BEGIN = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")  # JPEG, PNG


class ImageTooLargeError(ApiError):
    """A picture has too many bytes."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class ImageKindError(ApiError):
    """A file is no JPEG and no PNG, whatever its name says."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


async def image_of(upload: UploadFile) -> bytes:
    """Return the bytes of a picture, not decoded yet. Raises ImageTooLargeError, ImageKindError."""
    image = await upload.read(MAX_IMAGE + 1)
    if len(image) > MAX_IMAGE:
        raise ImageTooLargeError(f"a picture has more than {MAX_IMAGE} bytes")
    if not image.startswith(_BEGIN):
        raise ImageKindError("a picture is neither JPEG nor PNG")
    return image

"""Template protection: what is stored and compared is a rotation of what the model gave, another one on every device.

ISO/IEC 24745 asks for templates that can be renewed and that two databases cannot link. A secret orthogonal matrix
keeps every cosine, so that nothing is lost in accuracy; docs/people.md says what it does not do.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from appliance.records import Embedding, frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Protection:
    """The rotations that one secret of 32 bytes gives, one a model."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._matrices: dict[tuple[str, int], NDArray[np.float32]] = {}

    @cached_property
    def protection_id(self) -> str:
        """What tells templates of this secret from those of another: 16 hex digits that say nothing of it."""
        return hashlib.sha256(b"ostiary protection\0" + self._secret).hexdigest()[:16]

    def protect(self, embedding: Embedding) -> Embedding:
        """Return the embedding rotated; its length and its cosine with any other one stay, to 1e-6."""
        return self._turned(embedding, self._matrix(embedding))

    def restore(self, embedding: Embedding) -> Embedding:
        """Return what the model gave, to 1e-6: for moving to a device with another secret."""
        return self._turned(embedding, self._matrix(embedding).T)

    def protect_all(self, rows: NDArray[np.float32], model_id: str) -> NDArray[np.float32]:
        """Return (N, D) rows rotated."""
        return rows @ self.matrix(model_id, rows.shape[1]).T

    def restore_all(self, rows: NDArray[np.float32], model_id: str) -> NDArray[np.float32]:
        """Return (N, D) rows as the model gave them."""
        return rows @ self.matrix(model_id, rows.shape[1])

    def matrix(self, model_id: str, dimension: int) -> NDArray[np.float32]:
        """Return the orthogonal (D, D) matrix for this model's templates."""
        known = self._matrices.get((model_id, dimension))
        if known is None:
            known = self._matrices[model_id, dimension] = _orthogonal(self._secret, model_id, dimension)
        return known

    def _matrix(self, embedding: Embedding) -> NDArray[np.float32]:
        return self.matrix(embedding.model_id, len(embedding.vector))

    @staticmethod
    def _turned(embedding: Embedding, matrix: NDArray[np.float32]) -> Embedding:
        turned = matrix @ embedding.vector
        return Embedding(frozen(turned / np.linalg.norm(turned)), embedding.model_id)


def _orthogonal(secret: bytes, model_id: str, dimension: int) -> NDArray[np.float32]:
    """Return a matrix drawn evenly from all rotations and reflections: QR of Gaussians (Mezzadri 2007).

    The numbers come from SHAKE-256 and not from numpy's generator, whose stream may change from release to release:
    the same secret must give the same matrix for years.
    """
    half = (dimension * dimension + 1) // 2
    stream = hashlib.shake_256(b"ostiary rotation\0" + secret + model_id.encode()).digest(16 * half)
    even = (np.frombuffer(stream, "<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53  # [0, 1)
    radius, angle = np.sqrt(-2 * np.log1p(-even[:half])), 2 * np.pi * even[half:]
    gaussian = np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))[: dimension * dimension]
    q, r = np.linalg.qr(gaussian.reshape(dimension, dimension))
    return frozen(np.ascontiguousarray(q * np.sign(np.diag(r))).astype(np.float32))

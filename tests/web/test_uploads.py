"""Pictures of strangers, as the whole web takes them: decoded where a hole in a decoder opens nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.contract import Role
from appliance.drivers.photo import encode_jpeg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.running import Web


@contextmanager
def no_decoder_lives() -> Iterator[list[int]]:
    """Kill the first decoder that this process starts while the block runs; give its process id."""
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while not killed and not over.is_set():
            for child in Path("/proc/self/task").glob("*/children"):
                for pid in child.read_text().split():
                    if b"photo_child" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(int(pid), signal.SIGKILL)
                        killed.append(int(pid))
            time.sleep(0.001)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        over.set()
        killer.join()


@pytest.mark.parametrize("way", ["face", "page"])
def test_an_upload_is_decoded_in_a_process_that_may_die(web: Web, way: str) -> None:
    """A12, A13: the decoder of an upload is killed amid it: that upload is refused, and the web goes on."""
    picture = encode_jpeg(np.zeros((2000, 3000, 3), np.uint8))
    key, csrf = web.key(Role.RECOGNISER, f"uploads-{way}"), web.csrf(Role.ADMIN)
    with web.client(None if way == "face" else Role.ADMIN) as client, no_decoder_lives() as killed:
        if way == "face":
            headers = {"Ocp-Apim-Subscription-Key": key, "Content-Type": "application/octet-stream"}
            answer = client.post("/face/v1.2/detect?returnFaceId=false", content=picture, headers=headers)
            assert answer.status_code == 400
        else:
            answer = client.post("/enrol/look", data={"csrf": csrf}, files={"photos": picture})
            assert "broken" in answer.text
        assert len(killed) == 1
        assert client.get("/healthz").text == "ok\n"

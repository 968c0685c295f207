"""Serving: the application on its port, for as long as a block or a command lasts."""

from __future__ import annotations

import ssl
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from appliance.errors import HardwareError
from appliance.web.app import make_app
from appliance.web.connection import Connection
from appliance.web.gate import MAX_HEAD, Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.commands.options import Installation

START_S = 20.0
BEAT_TICKS = 10  # of uvicorn's, which are a tenth of a second apart


class _Watched(uvicorn.Server):
    """A server that tells the service manager when it listens, and each second from its event loop that it lives."""

    def __init__(self, config: uvicorn.Config, notify: Callable[[str], None]) -> None:
        super().__init__(config)
        self._notify = notify

    # uvicorn's own `callback_notify` goes by the clock on the wall: one that is set back would keep it silent.
    async def on_tick(self, counter: int) -> bool:
        """Say so, and do what uvicorn does."""
        if counter == 0:
            self._notify("READY=1")
        if counter % BEAT_TICKS == 0:
            self._notify("WATCHDOG=1")
        return await super().on_tick(counter)


def server(installation: Installation, notify: Callable[[str], None] = lambda _: None) -> uvicorn.Server:
    """Return the server, not started. Its log is ours; it writes no access log, which would be a record of people.

    `notify` hears READY=1 once it listens, and WATCHDOG=1 each second while its event loop turns.
    Raises HardwareError where the certificate cannot be used.
    """
    web = installation.settings.web
    app = make_app(installation)
    config = uvicorn.Config(
        Gate(app, web),
        host=web.host,
        port=web.port,
        ssl_certfile=web.cert_file or None,
        ssl_keyfile=web.key_file or None,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=MAX_HEAD,
        ws="none",
        http=Connection,
        loop="asyncio",
        lifespan="on",
    )
    try:
        config.load()
    except OSError as fault:  # ssl.SSLError is one, too
        raise HardwareError(f"the certificate {web.cert_file} with {web.key_file} cannot be used: {fault}") from fault
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    running = _Watched(config, notify)
    app.state.stopping = lambda: running.should_exit  # for streams that would go on for ever
    return running


@contextmanager
def served(installation: Installation) -> Iterator[str]:
    """Serve in a thread while the block runs, and give the address, such as `http://127.0.0.1:8480`.

    Raises HardwareError where it does not come up.
    """
    running = server(installation)
    thread = threading.Thread(target=_run, args=(running,), name="web")
    thread.start()
    try:
        end_s = time.monotonic() + START_S
        while not running.started:
            if not thread.is_alive() or time.monotonic() > end_s:
                raise HardwareError(f"the web pages cannot be served on {installation.settings.web.port}")
            time.sleep(0.01)
        yield address(installation)
    finally:
        running.should_exit = True
        thread.join(10)


def address(installation: Installation) -> str:
    """Return where the pages are."""
    web = installation.settings.web
    return f"{'https' if web.tls else 'http'}://{web.host}:{web.port}"


def _run(running: uvicorn.Server) -> None:
    try:
        running.run()
    except SystemExit:  # how uvicorn says that the port is taken; `started` stays false
        return

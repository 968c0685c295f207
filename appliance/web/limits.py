"""How often: every address, and every account and key, may ask so many times a second and no more.

Buckets of our own, for those of the libraries read the wall clock: one that NTP sets back by an hour would keep
everybody out for an hour.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from collections.abc import Callable

BURST_S = 3  # of what a second allows, this many at once: a page and all that belongs to it
ADDRESS_FACTOR = 10  # many may sit behind one address; this one is for those who are nobody yet
KEPT = 4096  # names that are counted at a time
FORGOTTEN_S = 3600.0  # after which failures count no more


class TooManyError(ApplianceError):
    """Too much was asked for in a short time; `retry_s` seconds from now, above 0, it may be asked again."""

    def __init__(self, retry_s: float) -> None:
        super().__init__(f"too many requests; try again in {math.ceil(retry_s)} s")
        self.retry_s = retry_s

    @property
    def headers(self) -> dict[str, str]:
        """The header Retry-After, in whole seconds."""
        return {"Retry-After": str(math.ceil(self.retry_s))}


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Buckets:
    """One bucket of tokens a name: `burst` at first, `per_s` more every second, one for each thing that is asked.

    Belongs to one thread. `clock` is monotonic, in seconds.
    """

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str) -> None:
        """Take one of this name's tokens. Raises TooManyError where none is left."""
        bucket = self._filled(name)
        if bucket.tokens < 1:
            raise TooManyError((1 - bucket.tokens) / self._per_s)
        bucket.tokens -= 1

    def _filled(self, name: str) -> _Bucket:
        now_s = self._clock()
        bucket = self._buckets.setdefault(name, _Bucket(self._burst, now_s))
        bucket.tokens = min(self._burst, bucket.tokens + (now_s - bucket.at_s) * self._per_s)
        bucket.at_s = now_s
        self._buckets.move_to_end(name)
        if len(self._buckets) > KEPT:
            self._buckets.popitem(last=False)  # whoever has been away longest has most tokens
        return bucket


def requests_of_voices(per_s: float) -> Buckets:
    """Return the buckets of accounts, keys and screens, for what each may ask."""
    return Buckets(per_s, math.ceil(per_s * BURST_S))


def requests_of_addresses(per_s: float) -> Buckets:
    """Return the buckets of addresses, where each account may ask `per_s` times a second."""
    return requests_of_voices(per_s * ADDRESS_FACTOR)


def network_of(address: str) -> str:
    """Return what counts as one address: of IPv6 the network of 64 bits, for whoever has one of them has them all."""
    try:
        read = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket has none
        return address
    if isinstance(read, ipaddress.IPv6Address):
        return str(read.ipv4_mapped or ipaddress.ip_network((read, 64), strict=False))
    return address


@dataclass(slots=True)
class _Failures:
    count: int = 0
    until_s: float = -math.inf  # no further try before
    last_s: float = -math.inf


class Waits:
    """Failures by name: the first few cost nothing, each further one twice the wait of the last, up to `most_s`.

    Never for ever, so that nobody can keep an owner out for good; forgotten an hour after the last one. Belongs to one
    thread. `clock` is monotonic, in seconds.
    """

    def __init__(self, free: int, most_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = free
        self._most_s = most_s
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def demand(self, name: str) -> None:
        """Raise TooManyError where this name has to wait."""
        left_s = self._of(name).until_s - self._clock()
        if left_s > 0:
            raise TooManyError(left_s)

    def failed(self, name: str) -> bool:
        """Count a failure, and tell whether it is the first that has to wait."""
        one, now_s = self._of(name), self._clock()
        one.count, one.last_s = one.count + 1, now_s
        over = one.count - self._free
        if over > 0:
            one.until_s = now_s + min(self._most_s, 2.0 ** min(over - 1, 30))
        return over == 1

    def take_back(self, name: str) -> None:
        """Count the last failure no more: it was none."""
        one = self._of(name)
        one.count, one.until_s = max(0, one.count - 1), -math.inf

    def forget(self, name: str) -> None:
        """Count all of this name's failures no more."""
        self._failures.pop(name, None)

    def _of(self, name: str) -> _Failures:
        one = self._failures.setdefault(name, _Failures())
        if self._clock() - one.last_s > FORGOTTEN_S:
            one = self._failures[name] = _Failures(last_s=self._clock())
        self._failures.move_to_end(name)
        if len(self._failures) > KEPT:
            self._failures.popitem(last=False)
        return one

"""Owns participants made with the stock Python SDK, and bounded waiting for what they see.

What always holds: every event of a room is kept from before it connects, so that a test never misses one, and every wait
has a limit and a name.
"""

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from livekit import api, rtc

API_KEY = "devkey"
API_SECRET = "secret"
WAIT_SECONDS = 10.0
EVENTS = (
    "participant_connected",
    "participant_disconnected",
    "track_published",
    "track_subscribed",
    "track_unsubscribed",
    "track_muted",
    "track_unmuted",
    "participant_metadata_changed",
    "participant_name_changed",
    "participant_attributes_changed",
    "participant_permissions_changed",
    "active_speakers_changed",
    "data_received",
    "reconnecting",
    "disconnected",
)


def token(room: str, identity: str, name: str = "", **grants: Any) -> str:
    """An access token; `grants` are those of VideoGrants, over the right to join `room`."""
    return (
        api.AccessToken(API_KEY, API_SECRET)
        .with_identity(identity)
        .with_name(name or identity)
        .with_ttl(datetime.timedelta(minutes=10))
        .with_grants(api.VideoGrants(**{"room_join": True, "room": room, **grants}))
        .to_jwt()
    )


async def until(what: str, probe: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """Polls `probe` until it is true and returns its value; fails with the name of what did not come."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        value = probe()
        if value:
            return value
        if asyncio.get_running_loop().time() >= deadline:
            raise AssertionError(f"no {what} within {seconds} s (last: {value!r})")
        await asyncio.sleep(0.05)


class Participant:
    """A room of the SDK with all its events on record."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.room = rtc.Room()
        self.events: list[tuple[str, tuple[Any, ...]]] = []
        for name in EVENTS:
            self.room.on(name, self._recorder(name))

    @property
    def me(self) -> rtc.LocalParticipant:
        return self.room.local_participant

    def seen(self, name: str, matches: Callable[..., bool] = lambda *_: True) -> tuple[Any, ...]:
        """The arguments of the first event of this name that matches, or () while there is none."""
        return next((args for kind, args in self.events if kind == name and matches(*args)), ())

    async def sees(self, name: str, matches: Callable[..., bool] = lambda *_: True) -> tuple[Any, ...]:
        what = f"{name} at {self.identity} (had: {[kind for kind, _ in self.events]})"
        return await until(what, lambda: self.seen(name, matches))

    def other(self, identity: str) -> rtc.RemoteParticipant | None:
        return self.room.remote_participants.get(identity)

    def _recorder(self, name: str) -> Callable[..., None]:
        return lambda *args: self.events.append((name, args))


class Meeting:
    """Participants of one room, disconnected at the end of the test."""

    def __init__(self, url: str, room: str) -> None:
        self.url = url
        self.room = room

    def run(self, scenario: Callable[..., Awaitable[None]], seconds: float = 60.0) -> None:
        """Runs `scenario(join)`; `join(identity, **grants)` connects a participant, to another room when `room` is given."""

        async def bounded() -> None:
            async with AsyncExitStack() as leaving:

                async def join(identity: str, **grants: Any) -> Participant:
                    return await self._join(leaving, identity, **grants)

                await asyncio.wait_for(scenario(join), seconds)

        asyncio.run(bounded())

    async def _join(self, leaving: AsyncExitStack, identity: str, **grants: Any) -> Participant:
        participant = Participant(identity)
        where = grants.pop("room", self.room)
        connecting = participant.room.connect(self.url, token(where, identity, **grants))
        await asyncio.wait_for(connecting, 15)
        leaving.push_async_callback(participant.room.disconnect)
        return participant


def joined(*participants: Participant) -> Awaitable[bool]:
    """Waits until each of these sees all the others."""
    names = {one.identity for one in participants}
    return until(
        f"sight of {sorted(names)}",
        lambda: all(set(one.room.remote_participants) == names - {one.identity} for one in participants),
    )

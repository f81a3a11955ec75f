"""Owns who is in a room and what is known about them, as the stock Python SDK sees it."""

import asyncio
import contextlib

from livekit import rtc

from meeting import Meeting, joined, until


def test_names_and_grants_of_others_are_seen(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        a, b = await join("a", can_update_own_metadata=True), await join("b")
        await joined(a, b)
        assert (b.other("a").name, b.other("a").identity) == ("a", "a")
        assert b.room.name == meeting.room
        assert (await a.room.sid).startswith("RM_")
        assert b.other("a").sid == a.me.sid and a.me.sid.startswith("PA_")

    meeting.run(scenario)


def test_attributes_metadata_and_name_changes_are_seen(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        a, b = await join("a", can_update_own_metadata=True), await join("b")
        await joined(a, b)
        await a.me.set_metadata("first")
        await b.sees("participant_metadata_changed", lambda who, _old, new: who.identity == "a" and new == "first")
        await a.me.set_name("Ada")
        await b.sees("participant_name_changed", lambda who, _old, new: who.identity == "a" and new == "Ada")
        await a.me.set_attributes({"colour": "blue", "size": "9"})
        await until("attributes", lambda: b.other("a").attributes == {"colour": "blue", "size": "9"})
        assert b.seen("participant_attributes_changed")
        # An empty value removes the key.
        await a.me.set_attributes({"size": ""})
        await until("removal of an attribute", lambda: b.other("a").attributes == {"colour": "blue"})
        late = await join("late")
        await until("sight of a", lambda: late.other("a"))
        seen = late.other("a")
        assert (seen.name, seen.metadata, seen.attributes) == ("Ada", "first", {"colour": "blue"})

    meeting.run(scenario)


def test_own_metadata_needs_the_right(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        a, b = await join("a"), await join("b")
        await joined(a, b)
        # The SDK does not report the refusal; what counts is that nobody sees a change.
        with contextlib.suppress(Exception):
            await asyncio.wait_for(a.me.set_metadata("mine"), 10)
        late = await join("late")
        await until("sight of a", lambda: late.other("a"))
        assert late.other("a").metadata == ""
        assert not b.seen("participant_metadata_changed")

    meeting.run(scenario)


def test_leaving_is_seen(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        a, b = await join("a"), await join("b")
        await joined(a, b)
        await a.room.disconnect()
        who, *_ = await b.sees("participant_disconnected")
        assert who.identity == "a"
        assert b.other("a") is None

    meeting.run(scenario)


def test_a_hidden_participant_is_not_seen(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        open_one, hidden = await join("open"), await join("hidden", hidden=True)
        await until("sight of the open one", lambda: hidden.other("open"))
        late = await join("late")
        await until("sight of the late one", lambda: open_one.other("late") and hidden.other("late"))
        await asyncio.sleep(1)
        assert open_one.other("hidden") is None and late.other("hidden") is None

    meeting.run(scenario)


def test_the_same_identity_again_replaces_the_first(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        witness, first = await join("witness"), await join("twin")
        await joined(witness, first)
        second = await join("twin")
        reason, *_ = await first.sees("disconnected")
        assert reason == rtc.DisconnectReason.DUPLICATE_IDENTITY
        await until("the second twin at the witness", lambda: witness.other("twin") and witness.other("twin").sid == second.me.sid)
        await asyncio.sleep(1)
        assert second.room.connection_state == rtc.ConnectionState.CONN_CONNECTED
        assert not first.seen("reconnecting"), "the first must not fight for its place"

    meeting.run(scenario)


def test_rooms_do_not_see_each_other(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        here, near = await join("here"), await join("near")
        there = await join("there", room=f"{meeting.room}-other")
        await joined(here, near)
        await here.me.publish_data(b"only here", reliable=True)
        await near.sees("data_received")
        await asyncio.sleep(0.5)
        assert not there.room.remote_participants
        assert not there.seen("data_received")

    meeting.run(scenario)

"""Owns data through the server as the stock Python SDK sends and receives it: packets to all and to one, rights, RPC."""

import asyncio

import pytest
from livekit import rtc

from meeting import Meeting, Participant, joined

BURST = 200


def packets(receiver: Participant) -> list[rtc.DataPacket]:
    return [args[0] for kind, args in receiver.events if kind == "data_received"]


@pytest.mark.parametrize("reliable", [True, False])
def test_a_packet_reaches_everyone_else(meeting: Meeting, reliable: bool) -> None:
    async def scenario(join) -> None:
        sender, *others = people = [await join(name) for name in ("sender", "b", "c")]
        await joined(*people)
        # A lossy packet may be lost before the channel is open; a few of them are one packet that arrives.
        for _ in range(1 if reliable else 5):
            await sender.me.publish_data(b"\x00to all\xff", reliable=reliable, topic="greeting")
            await asyncio.sleep(0.1)
        for other in others:
            packet, *_ = await other.sees("data_received")
            assert (packet.data, packet.topic) == (b"\x00to all\xff", "greeting")
            assert packet.participant.identity == "sender"
            kind = rtc.DataPacketKind.KIND_RELIABLE if reliable else rtc.DataPacketKind.KIND_LOSSY
            assert packet.kind == kind
        assert not packets(sender), "never echoed"

    meeting.run(scenario)


@pytest.mark.parametrize("reliable", [True, False])
def test_a_packet_for_one_reaches_only_that_one(meeting: Meeting, reliable: bool) -> None:
    async def scenario(join) -> None:
        sender, chosen, other = people = [await join(name) for name in ("sender", "chosen", "other")]
        await joined(*people)
        for _ in range(1 if reliable else 5):
            await sender.me.publish_data(b"secret", reliable=reliable, destination_identities=["chosen"])
        packet, *_ = await chosen.sees("data_received")
        assert packet.data == b"secret"
        # A later packet to all shows that the earlier one is not merely late.
        await sender.me.publish_data(b"to all", reliable=True)
        await other.sees("data_received", lambda one: one.data == b"to all")
        await asyncio.sleep(0.5)
        assert all(one.data == b"to all" for one in packets(other))

    meeting.run(scenario)


def test_reliable_packets_arrive_once_and_in_order(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        sender, receiver = await join("sender"), await join("receiver")
        await joined(sender, receiver)
        for number in range(BURST):
            await sender.me.publish_data(number.to_bytes(2, "big") * 500, reliable=True)
        await receiver.sees("data_received", lambda one: one.data[:2] == (BURST - 1).to_bytes(2, "big"))
        assert [int.from_bytes(one.data[:2], "big") for one in packets(receiver)] == list(range(BURST))

    meeting.run(scenario)


def test_data_without_the_right_reaches_nobody(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        mute = await join("mute", can_publish_data=False)
        receiver, speaker = await join("receiver"), await join("speaker")
        await joined(mute, receiver, speaker)
        try:
            await asyncio.wait_for(mute.me.publish_data(b"not allowed", reliable=True), 5)
        except Exception:  # noqa: BLE001  the SDK may refuse by itself; what counts is that nothing arrives
            pass
        await asyncio.sleep(1)
        await speaker.me.publish_data(b"allowed", reliable=True)
        await receiver.sees("data_received", lambda one: one.data == b"allowed")
        assert [one.data for one in packets(receiver)] == [b"allowed"]

    meeting.run(scenario)


def test_rpc_both_ways(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        a, b = await join("a"), await join("b")
        await joined(a, b)
        for person in (a, b):
            person.me.register_rpc_method("greet", greeting_of(person.identity))
        for caller, callee in ((a, b), (b, a)):
            answer = await caller.me.perform_rpc(
                destination_identity=callee.identity, method="greet", payload="hello", response_timeout=10
            )
            assert answer == f"{callee.identity} heard hello from {caller.identity}"

    def greeting_of(identity: str):
        async def greet(call: rtc.RpcInvocationData) -> str:
            return f"{identity} heard {call.payload} from {call.caller_identity}"

        return greet

    meeting.run(scenario)


def test_rpc_errors_come_back(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        a, b = await join("a"), await join("b")
        await joined(a, b)

        async def fail(_: rtc.RpcInvocationData) -> str:
            raise rtc.RpcError(4321, "no such thing", "details")

        b.me.register_rpc_method("fail", fail)
        with pytest.raises(rtc.RpcError) as own:
            await a.me.perform_rpc(destination_identity="b", method="fail", payload="", response_timeout=10)
        assert (own.value.code, own.value.message, own.value.data) == (4321, "no such thing", "details")
        with pytest.raises(rtc.RpcError) as unknown:
            await a.me.perform_rpc(destination_identity="b", method="nothing", payload="", response_timeout=10)
        assert unknown.value.code == rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD

    meeting.run(scenario)


def test_a_text_stream_arrives_whole(meeting: Meeting) -> None:
    text = "Straße, 桥, мост. " * 5_000

    async def scenario(join) -> None:
        sender, receiver = await join("sender"), await join("receiver")
        arrived: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def handle(reader: rtc.TextStreamReader, _: str) -> None:
            async def read() -> None:
                arrived.set_result(await reader.read_all())

            handle.task = asyncio.create_task(read())

        receiver.room.register_text_stream_handler("book", handle)
        await joined(sender, receiver)
        await sender.me.send_text(text, topic="book")
        assert await asyncio.wait_for(arrived, 15) == text

    meeting.run(scenario)

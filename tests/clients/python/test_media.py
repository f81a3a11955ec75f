"""Owns media through the server as the stock Python SDK sends and receives it: known colours, a known tone, mute, rights."""

import asyncio

import pytest
from livekit import rtc

from media import Camera, Tone, dominant_frequency, frames_until_colour, holes, level, running, samples_of
from meeting import Meeting, Participant, joined, until

COLOURS = [(200, 40, 40), (40, 180, 60), (50, 60, 210)]
# A lossy codec with 4:2:0 colour at a low bit rate moves a flat colour by a few steps.
COLOUR_TOLERANCE = 16
TONE = 440.0


def video_options(codec: str = "VP8", simulcast: bool = False) -> rtc.TrackPublishOptions:
    return rtc.TrackPublishOptions(
        source=rtc.TrackSource.SOURCE_CAMERA,
        simulcast=simulcast,
        video_codec=rtc.VideoCodec.Value(codec),
    )


AUDIO = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)


async def track_at(receiver: Participant, kind: int) -> rtc.Track:
    (track, *_) = await receiver.sees("track_subscribed", lambda track, *_: track.kind == kind)
    return track


@pytest.mark.parametrize("codec", ["VP8", "VP9", "AV1", "H264"])
def test_colours_arrive(meeting: Meeting, codec: str) -> None:
    async def scenario(join) -> None:
        sender, receiver = await join("sender"), await join("receiver")
        camera = Camera(COLOURS[0])
        async with running(camera):
            await sender.me.publish_track(camera.track, video_options(codec))
            stream = rtc.VideoStream(await track_at(receiver, rtc.TrackKind.KIND_VIDEO))
            for i, colour in enumerate(COLOURS):
                camera.colour = colour
                await frames_until_colour(stream, colour, COLOUR_TOLERANCE, 20 if i == 0 else 8)
            await stream.aclose()

    meeting.run(scenario)


def test_a_tone_arrives_whole(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        sender, receiver = await join("sender"), await join("receiver")
        tone = Tone(TONE, level=0.25)
        async with running(tone):
            await sender.me.publish_track(tone.track, AUDIO)
            track = await track_at(receiver, rtc.TrackKind.KIND_AUDIO)
            stream = rtc.AudioStream(track, sample_rate=48_000, num_channels=1)
            # The jitter buffer starts with silence and settles.
            await samples_of(stream, 1.5, 15)
            samples = await samples_of(stream, 2.0, 10)
            await stream.aclose()
        assert dominant_frequency(samples) == pytest.approx(TONE, abs=2)
        assert 0.1 < level(samples) < 0.4
        assert holes(samples) <= 0.05

    meeting.run(scenario)


def test_picture_and_tone_reach_a_late_joiner(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        sender = await join("sender")
        camera, tone = Camera(COLOURS[2]), Tone(1000.0)
        async with running(camera, tone):
            await sender.me.publish_track(camera.track, video_options(simulcast=True))
            await sender.me.publish_track(tone.track, AUDIO)
            await asyncio.sleep(2)
            receiver = await join("receiver")
            pictures = rtc.VideoStream(await track_at(receiver, rtc.TrackKind.KIND_VIDEO))
            await frames_until_colour(pictures, COLOURS[2], COLOUR_TOLERANCE, 15)
            sounds = rtc.AudioStream(await track_at(receiver, rtc.TrackKind.KIND_AUDIO))
            await samples_of(sounds, 1.0, 10)
            assert dominant_frequency(await samples_of(sounds, 1.0, 10)) == pytest.approx(1000, abs=3)
            await pictures.aclose()
            await sounds.aclose()

    meeting.run(scenario)


def test_each_hears_the_right_one(meeting: Meeting) -> None:
    """Three senders, three tones: what is routed by mid and SSRC must not be mixed up."""
    tones = {"a": 300.0, "b": 700.0, "c": 1100.0}

    async def scenario(join) -> None:
        people = [await join(identity) for identity in tones]
        sources = [Tone(frequency) for frequency in tones.values()]
        async with running(*sources):
            for person, source in zip(people, sources, strict=True):
                await person.me.publish_track(source.track, AUDIO)
            await asyncio.gather(*(hears_others(person) for person in people))

    async def hears_others(person: Participant) -> None:
        for identity in tones.keys() - {person.identity}:
            track, *_ = await person.sees("track_subscribed", lambda _t, _p, who, i=identity: who.identity == i)
            stream = rtc.AudioStream(track)
            await samples_of(stream, 1.0, 15)
            heard = dominant_frequency(await samples_of(stream, 1.0, 10))
            assert heard == pytest.approx(tones[identity], abs=3), f"{person.identity} hears {identity}"
            await stream.aclose()

    meeting.run(scenario)


def test_mute_and_unmute_are_seen(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        sender, receiver = await join("sender"), await join("receiver")
        tone = Tone(TONE)
        async with running(tone):
            publication = await sender.me.publish_track(tone.track, AUDIO)
            await track_at(receiver, rtc.TrackKind.KIND_AUDIO)
            tone.track.mute()
            await receiver.sees("track_muted", lambda _, one: one.sid == publication.sid)
            tone.track.unmute()
            await receiver.sees("track_unmuted", lambda _, one: one.sid == publication.sid)

    meeting.run(scenario)


def test_who_speaks_is_seen(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        sender, receiver = await join("sender"), await join("receiver")
        tone = Tone(TONE, level=0.3)
        async with running(tone):
            await sender.me.publish_track(tone.track, AUDIO)
            await receiver.sees("active_speakers_changed", lambda all_: any(one.identity == "sender" for one in all_))

    meeting.run(scenario)


def test_unpublish_ends_the_subscription(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        sender, receiver = await join("sender"), await join("receiver")
        camera = Camera(COLOURS[0])
        async with running(camera):
            publication = await sender.me.publish_track(camera.track, video_options())
            await track_at(receiver, rtc.TrackKind.KIND_VIDEO)
            await sender.me.unpublish_track(publication.sid)
            await receiver.sees("track_unsubscribed")
            await until("end of the publication", lambda: not receiver.other("sender").track_publications)

    meeting.run(scenario)


def test_publishing_without_the_right_is_an_error(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        silent, other = await join("silent", can_publish=False), await join("other")
        await joined(silent, other)
        camera = Camera(COLOURS[0])
        async with running(camera):
            with pytest.raises(Exception, match="."):
                await asyncio.wait_for(silent.me.publish_track(camera.track, video_options()), 20)
            await asyncio.sleep(1)
        assert not other.seen("track_published")
        assert not other.other("silent").track_publications

    meeting.run(scenario)


def test_publishing_another_source_than_allowed_is_an_error(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        speaker, other = await join("speaker", can_publish_sources=["microphone"]), await join("other")
        await joined(speaker, other)
        camera, tone = Camera(COLOURS[0]), Tone(TONE)
        async with running(camera, tone):
            with pytest.raises(Exception, match="."):
                await asyncio.wait_for(speaker.me.publish_track(camera.track, video_options()), 20)
            await speaker.me.publish_track(tone.track, AUDIO)
            await track_at(other, rtc.TrackKind.KIND_AUDIO)
        assert not other.seen("track_published", lambda one, _: one.kind == rtc.TrackKind.KIND_VIDEO)

    meeting.run(scenario)


def test_nothing_is_received_without_the_right(meeting: Meeting) -> None:
    async def scenario(join) -> None:
        sender, deaf = await join("sender"), await join("deaf", can_subscribe=False)
        witness = await join("witness")
        camera, tone = Camera(COLOURS[0]), Tone(TONE)
        async with running(camera, tone):
            await sender.me.publish_track(camera.track, video_options())
            await sender.me.publish_track(tone.track, AUDIO)
            await track_at(witness, rtc.TrackKind.KIND_VIDEO)
            await track_at(witness, rtc.TrackKind.KIND_AUDIO)
            await asyncio.sleep(2)
        assert not deaf.seen("track_subscribed")

    meeting.run(scenario)


def test_a_room_of_many_tracks(meeting: Meeting) -> None:
    """More sections than a first offer has, and offers far longer than it."""
    publishers, tracks = 2, 20

    async def scenario(join) -> None:
        receiver = await join("receiver")
        for index in range(publishers):
            publisher = await join(f"publisher-{index}")
            for number in range(tracks // 2):
                video = rtc.LocalVideoTrack.create_video_track(f"video-{number}", rtc.VideoSource(320, 180))
                audio = rtc.LocalAudioTrack.create_audio_track(f"audio-{number}", rtc.AudioSource(48_000, 1))
                await publisher.me.publish_track(video, video_options())
                await publisher.me.publish_track(audio, AUDIO)

        def subscribed() -> int:
            remote = receiver.room.remote_participants.values()
            return sum(track.track is not None for one in remote for track in one.track_publications.values())

        await until("all tracks at the receiver", lambda: subscribed() == publishers * tracks, seconds=40)
        assert not receiver.seen("disconnected")

    meeting.run(scenario, seconds=90)

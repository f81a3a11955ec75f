"""Owns known pictures and sounds: made, published through the stock SDK, received elsewhere, measured.

Colours are means of RGB in 0..255; levels are root mean squares of full scale (1.0); frequencies are in Hz.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from livekit import rtc

SIZE = (320, 180)
FRAMES_PER_SECOND = 15
SAMPLE_RATE = 48_000
"""Samples per second, mono."""
CHUNK_SECONDS = 0.01


class Camera:
    """A camera that shows one colour, which can be changed while it runs."""

    def __init__(self, colour: tuple[int, int, int]) -> None:
        self.colour = colour
        self._source = rtc.VideoSource(*SIZE)
        self.track = rtc.LocalVideoTrack.create_video_track("camera", self._source)

    async def run(self) -> None:
        width, height = SIZE
        while True:
            pixels = np.full((height, width, 3), self.colour, dtype=np.uint8)
            frame = rtc.VideoFrame(width, height, rtc.VideoBufferType.RGB24, pixels.tobytes())
            self._source.capture_frame(frame.convert(rtc.VideoBufferType.I420))
            await asyncio.sleep(1 / FRAMES_PER_SECOND)


class Tone:
    """A microphone that hears one sine."""

    def __init__(self, frequency: float, level: float = 0.25) -> None:
        self._frequency = frequency
        self._amplitude = level * np.sqrt(2)
        self._source = rtc.AudioSource(SAMPLE_RATE, 1)
        self.track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)

    async def run(self) -> None:
        chunk = int(SAMPLE_RATE * CHUNK_SECONDS)
        start = 0
        while True:
            times = np.arange(start, start + chunk) / SAMPLE_RATE
            wave = self._amplitude * np.sin(2 * np.pi * self._frequency * times)
            samples = (wave * 32767).astype(np.int16)
            # Returns when there is room in the source's queue: this is what keeps the pace.
            await self._source.capture_frame(rtc.AudioFrame(samples.tobytes(), SAMPLE_RATE, 1, chunk))
            start += chunk


@asynccontextmanager
async def running(*sources: Camera | Tone) -> AsyncIterator[None]:
    """Feeds the sources until the block ends; a source that failed fails the block."""
    tasks = [asyncio.create_task(source.run()) for source in sources]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


def mean_colour(frame: rtc.VideoFrame) -> np.ndarray:
    """Mean RGB of the picture without its border."""
    rgb = frame.convert(rtc.VideoBufferType.RGB24)
    pixels = np.frombuffer(rgb.data, dtype=np.uint8).reshape(rgb.height, rgb.width, 3)
    rows, columns = rgb.height // 8, rgb.width // 8
    return pixels[rows:-rows, columns:-columns].mean(axis=(0, 1))


async def frames_until_colour(
    stream: rtc.VideoStream, colour: tuple[int, int, int], tolerance: float, seconds: float
) -> rtc.VideoFrame:
    """Reads frames until their mean colour is near `colour`; fails with the last colour seen."""
    last: object = "no frame"
    try:
        async with asyncio.timeout(seconds):
            async for event in stream:
                last = mean_colour(event.frame)
                if np.abs(last - np.array(colour)).max() <= tolerance:
                    return event.frame
    except TimeoutError:
        pass
    raise AssertionError(f"no picture of colour {colour} within {seconds} s (last: {last})")


async def samples_of(stream: rtc.AudioStream, seconds: float, limit: float) -> np.ndarray:
    """The next `seconds` of sound as floats in -1..1, read within `limit` seconds."""
    parts: list[np.ndarray] = []
    wanted = int(seconds * SAMPLE_RATE)
    async with asyncio.timeout(limit):
        async for event in stream:
            parts.append(np.frombuffer(event.frame.data, dtype=np.int16).astype(np.float64) / 32768)
            if sum(map(len, parts)) >= wanted:
                break
    return np.concatenate(parts)[:wanted]


def dominant_frequency(samples: np.ndarray) -> float:
    """Frequency of the strongest line of the spectrum, Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * SAMPLE_RATE / len(samples))


def holes(samples: np.ndarray) -> float:
    """Share of the 20 ms pieces of a steady tone that are far quieter than the rest, 0..1."""
    piece = SAMPLE_RATE // 50
    levels = np.sqrt(np.mean(samples[: len(samples) // piece * piece].reshape(-1, piece) ** 2, axis=1))
    return float(np.mean(levels < np.median(levels) / 2))


def level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))

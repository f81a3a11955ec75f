"""Owns coders: three encodings of one source by the encoders that PyAV brings, in the form `layer-switches` reads, and decoders that hide
nothing. The decoders are those of browsers: libvpx, FFmpeg's for H.264, dav1d."""

import hashlib
import os
import random
import struct
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType

import pictures

# SVT-AV1 tells its settings otherwise; errors only.
os.environ.setdefault("SVT_LOG", "1")

SIZES = [(160, 96), (320, 192), (640, 352)]
BIT_RATES = [200_000, 500_000, 1_200_000]
FRAMES = 240
"""Pictures of an encoding; the program repeats them."""
PERIOD = [0, 2, 1, 2]
"""Temporal layers of VP8 and VP9, over and over."""
SYNC = [False, True, True, False]
"""Which of them refer to layer 0 alone (found by leaving out the others: what follows decodes to the same)."""
_LAYERS = ":".join(
    ["ts_number_layers=3", "ts_target_bitrate={0},{1},{2}", "ts_rate_decimator=4,2,1", "ts_periodicity=4", "ts_layer_id=0,2,1,2", "ts_layering_mode=3"]
)
_LIBVPX = {"deadline": "realtime", "lag-in-frames": "0"}


@dataclass(frozen=True)
class Codec:
    encoder: str
    decoder: str
    options: dict[str, str]
    temporal_layers: bool = False


# VP8's speed is negative so that it does not depend on the clock: one source, one stream.
CODECS = {
    "vp8": Codec("libvpx", "libvpx", _LIBVPX | {"error-resilient": "default", "cpu-used": "-8"}, temporal_layers=True),
    "vp9": Codec("libvpx-vp9", "libvpx-vp9", _LIBVPX | {"error-resilient": "1", "cpu-used": "8"}, temporal_layers=True),
    "h264": Codec(
        "libx264", "h264", {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1", "x264-params": "repeat-headers=1:annexb=1:sliced-threads=0"}
    ),
    "av1": Codec("libsvtav1", "libdav1d", {"preset": "8", "crf": "30", "svtav1-params": "pred-struct=1:lp=1"}),
}


def encode(name: str, encoding: int, path: Path) -> list[tuple[int, bytes]]:
    """Writes one encoding; gives its pictures with their numbers."""
    codec, (width, height) = CODECS[name], SIZES[encoding]
    context = av.CodecContext.create(codec.encoder, "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate, context.gop_size = Fraction(1, 30), Fraction(30), 10_000
    context.thread_count = 1
    if "crf" not in codec.options:
        context.bit_rate = BIT_RATES[encoding]
    context.options = dict(codec.options)
    if codec.temporal_layers:
        kilobits = BIT_RATES[encoding] // 1000
        context.options["ts-parameters"] = _LAYERS.format(kilobits // 2, kilobits * 3 // 4, kilobits)
    keyframes = _keyframes(random.Random(f"{name} {encoding}"))
    packets = []
    for number in range(FRAMES):
        frame = av.VideoFrame.from_ndarray(pictures.draw(number, encoding, width, height), format="yuv420p")
        frame.pts = number
        frame.pict_type = PictureType.I if number in keyframes else PictureType.NONE
        packets += context.encode(frame)
    packets += context.encode(None)
    assert [packet.pts for packet in packets] == list(range(FRAMES)), "one picture a frame, in order"
    found = {packet.pts for packet in packets if packet.is_keyframe}
    assert found == keyframes, f"keyframes at {sorted(found)}, not {sorted(keyframes)}"
    with path.open("wb") as file:
        file.write(struct.pack(">HH", width, height))
        for packet in packets:
            place = packet.pts % len(PERIOD) if codec.temporal_layers else 0
            flags = (packet.pts in keyframes) | (SYNC[place] and codec.temporal_layers) << 1
            temporal = PERIOD[place] if codec.temporal_layers else 0
            file.write(struct.pack(">IBB", packet.size, flags, temporal) + bytes(packet))
    return [(packet.pts, bytes(packet)) for packet in packets]


def _keyframes(choice: random.Random) -> set[int]:
    """Where a period begins, at random distances: each encoding has its own, as publishers answer requests one by one."""
    found, next_one = set(), 0
    while next_one < FRAMES:
        found.add(next_one)
        next_one += len(PERIOD) * choice.randint(1, 3)
    return found


@dataclass
class Decoded:
    """What a decoder made of pictures."""

    shown: dict[int, np.ndarray] = field(default_factory=dict)
    """By the number each was given with."""
    errors: list[str] = field(default_factory=list)


def decode(name: str, coded: list[tuple[int, bytes]]) -> Decoded:
    """Decodes numbered pictures; everything a decoder complains of is kept."""
    context = av.CodecContext.create(CODECS[name].decoder, "r")
    context.thread_count = 1
    context.options = {"err_detect": "explode"}
    decoded = Decoded()
    av.logging.set_level(av.logging.WARNING)
    with av.logging.Capture() as log:
        for number, data in [*coded, (-1, None)]:
            packet = None
            if data is not None:
                packet = av.Packet(data)
                packet.pts = packet.dts = number
            try:
                for frame in context.decode(packet):
                    decoded.shown[frame.pts] = frame.to_ndarray(format="yuv420p")
            except av.error.FFmpegError as error:
                decoded.errors.append(f"picture {number}: {error}")
    av.logging.set_level(None)
    decoded.errors += [f"{source}: {message.strip()}" for level, source, message in log if level <= av.logging.WARNING]
    return decoded


def digest(planes: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(planes).tobytes(), digest_size=16).digest() + bytes(str(planes.shape), "ascii")

"""Owns the proof that switching never shows a mosaic: real pictures of three encodings go through the server's own rewriter with 500
random switches, and a real decoder shows every one of them exactly as it shows the encoding by itself, in order.

The canaries put a fault into the program on purpose; the same checks must find it."""

import json
import os
import struct
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

import coding
import pictures

ROOT = Path(__file__).resolve().parents[2]
SWITCHES = 500
RUN_SECONDS = 120
BUILD_SECONDS = 1200
WHOLE_DB = 25
"""Luma PSNR of a picture against what was drawn; the coders' own loss leaves more than that."""
COUNTED = ["strays", "mixed", "timestamps", "picture_ids", "duplicates"]
"""What a run must have none of, however packets come."""


@dataclass
class Source:
    """Three encodings and what a decoder shows of each by itself."""

    name: str
    files: list[Path]
    digests: dict[tuple[int, int], bytes]


@dataclass
class Run:
    summary: dict[str, int]
    pictures: list[tuple[int, int, bytes]]
    """Position, encoding, bytes."""


@pytest.fixture(scope="session")
def program() -> Path:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    build = ["cargo", "build", "--locked", "--workspace", "--quiet", "--example", "layer-switches"]
    subprocess.run(build, cwd=ROOT, check=True, timeout=BUILD_SECONDS)
    return target / "debug" / "examples" / "layer-switches"


@pytest.fixture(scope="session", params=list(coding.CODECS))
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    files, digests = [folder / str(encoding) for encoding in range(len(coding.SIZES))], {}
    for encoding, file in enumerate(files):
        decoded = coding.decode(name, coding.encode(name, encoding, file))
        assert decoded.errors == []
        assert sorted(decoded.shown) == list(range(coding.FRAMES))
        for frame, planes in decoded.shown.items():
            assert pictures.read(planes) == (frame, encoding)
            assert pictures.signal_to_noise(planes, pictures.draw(frame, encoding, *coding.SIZES[encoding])) > WHOLE_DB
            digests[encoding, frame] = coding.digest(planes)
    return Source(name, files, digests)


def drive(program: Path, source: Source, folder: Path, *options: str) -> Run:
    output = folder / "output"
    command = [program, "--codec", source.name, "--switches", str(SWITCHES), *options, output, *source.files]
    done = subprocess.run(command, check=True, timeout=RUN_SECONDS, stdout=subprocess.PIPE, text=True)
    found, data, at = [], output.read_bytes(), 0
    while at < len(data):
        position, encoding, length = struct.unpack_from(">IBI", data, at)
        at += 9 + length
        found.append((position, encoding, data[at - length : at]))
    return Run(json.loads(done.stdout), found)


def faults(source: Source, run: Run) -> list[str]:
    """Everything that is wrong with a run, named. A picture is right when its marks say what the program says it is, and it is bit
    for bit what a decoder shows of that encoding alone."""
    found = [f"{name}: {run.summary[name]}" for name in COUNTED if run.summary[name]]
    for (before, old, _), (after, new, _) in pairwise(run.pictures):
        # At a switch the same moment may be seen twice, from both encodings.
        if after < before or (after == before and old == new):
            found.append(f"{after} after {before}")
    decoded = coding.decode(source.name, [(number, data) for number, (_, _, data) in enumerate(run.pictures)])
    found += decoded.errors
    for number, (position, encoding, _) in enumerate(run.pictures):
        shown, frame = decoded.shown.get(number), position % coding.FRAMES
        if shown is None:
            found.append(f"{position}: not shown")
        elif coding.digest(shown) != source.digests[encoding, frame]:
            noise = f"{shown.shape}"
            if shown.shape == (coding.SIZES[encoding][1] * 3 // 2, coding.SIZES[encoding][0]):
                noise = f"{pictures.signal_to_noise(shown, pictures.draw(frame, encoding, *coding.SIZES[encoding])):.1f} dB"
            found.append(f"{position}: mosaic of encoding {encoding}, marks {pictures.read(shown)}, {noise}")
    return found


def test_every_picture_is_whole_and_in_order_over_500_switches(program: Path, source: Source, tmp_path: Path) -> None:
    run = drive(program, source, tmp_path)
    print(run.summary)
    assert faults(source, run) == []
    assert run.summary["switches"] >= SWITCHES
    assert run.summary["pauses"] > 0
    assert (run.summary["missing"], run.summary["held_back"]) == (0, 0)
    # Nearly all the time something is shown: until the first keyframe and in pauses nothing is.
    assert len(run.pictures) > 0.8 * run.summary["positions"]
    switches = sum(a[1] != b[1] for a, b in pairwise(run.pictures))
    assert switches >= SWITCHES - 1, "the decoder saw them"


def test_late_packets_cost_pictures_but_never_show_a_mosaic(program: Path, source: Source, tmp_path: Path) -> None:
    run = drive(program, source, tmp_path, "--late", "0.02", "--seed", "2")
    print(run.summary)
    assert faults(source, run) == []
    assert run.summary["switches"] >= SWITCHES
    assert len(run.pictures) > 0.5 * run.summary["positions"]


@pytest.mark.parametrize("late", ["0", "0.02"])
@pytest.mark.parametrize("source", ["vp8", "vp9"], indirect=True)
def test_temporal_layers_come_and_go_without_a_mosaic(program: Path, source: Source, tmp_path: Path, late: str) -> None:
    run = drive(program, source, tmp_path, "--temporal", "--late", late, "--seed", "3")
    print(run.summary)
    assert faults(source, run) == []
    assert run.summary["switches"] >= SWITCHES
    assert run.summary["layer_changes"] >= SWITCHES / 2
    if late == "0":
        assert (run.summary["missing"], run.summary["held_back"]) == (0, 0)
    shown = [coding.PERIOD[position % len(coding.PERIOD)] for position, _, _ in run.pictures]
    # Of the whole a quarter is of layer 0, a quarter of layer 1: what is withheld is of the upper ones.
    assert shown.count(0) > 1.2 * shown.count(1) > 0
    assert shown.count(2) > 0


def test_a_switch_without_keyframe_is_found(program: Path, source: Source, tmp_path: Path) -> None:
    found = faults(source, drive(program, source, tmp_path, "--fault", "no-keyframe"))
    assert len(found) > SWITCHES / 2, found[:5]


@pytest.mark.parametrize("source", ["vp8", "vp9"], indirect=True)
def test_withheld_pictures_that_others_refer_to_are_found(program: Path, source: Source, tmp_path: Path) -> None:
    found = faults(source, drive(program, source, tmp_path, "--temporal", "--fault", "wrong-layers"))
    assert len(found) > SWITCHES / 2, found


@pytest.mark.parametrize("source", ["vp8", "vp9"], indirect=True)
def test_picture_ids_that_do_not_go_on_are_found(program: Path, source: Source, tmp_path: Path) -> None:
    run = drive(program, source, tmp_path, "--fault", "no-picture-ids")
    assert run.summary["picture_ids"] > SWITCHES / 2
    assert faults(source, run) != []

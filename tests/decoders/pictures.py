"""Owns the pictures that are sent: which frame of which encoding one is stands in it as big light and dark blocks, so that a decoded
picture proves where it comes from. What always holds: the same frame and encoding give the same bytes."""

import numpy as np

# Light and dark, far enough apart for any quality a coder is set to.
DARK, LIGHT = 40, 215
COLUMNS, ROWS = 8, 2
FRAME_BITS, ENCODING_BITS = 12, 3


def draw(frame: int, encoding: int, width: int, height: int) -> np.ndarray:
    """A picture in planar YUV 4:2:0, `height * 3 / 2` rows of `width` bytes: a moving ramp, a moving box, the marks."""
    rows, columns = np.mgrid[0:height, 0:width]
    luma = (60 + (columns + 2 * rows + 3 * frame) % 128).astype(np.uint8)
    left = (frame * 5) % (width * 3 // 4)
    luma[height * 5 // 8 : height * 7 // 8, left : left + width // 4] = 16 + (frame * 7) % 200
    side_x, side_y = _block(width, height)
    for index, bit in enumerate(_bits(frame, encoding)):
        row, column = divmod(index, COLUMNS)
        top, start = side_y * (row + 1), side_x * (column + 4)
        luma[top : top + side_y, start : start + side_x] = LIGHT if bit else DARK
    chroma_rows, chroma_columns = np.mgrid[0 : height // 2, 0 : width // 2]
    blue = (96 + (chroma_columns + frame) % 64).astype(np.uint8)
    red = np.full_like(blue, 90 + 30 * encoding)
    return np.concatenate([luma, blue.reshape(-1, width), red.reshape(-1, width)])


def read(planes: np.ndarray) -> tuple[int, int] | None:
    """Frame and encoding by the marks of a decoded picture; None when they are not whole."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    side_x, side_y = _block(width, height)
    value = 0
    for index in range(COLUMNS * ROWS):
        row, column = divmod(index, COLUMNS)
        top, start = side_y * (row + 1), side_x * (column + 4)
        # Without the border, which coders blur.
        block = planes[top + side_y // 4 : top + side_y * 3 // 4, start + side_x // 4 : start + side_x * 3 // 4]
        middle = float(block.mean())
        if 90 < middle < 165 or float(block.std()) > 25:
            return None
        value = value << 1 | (middle > 128)
    frame, encoding = value >> 4, value >> 1 & 7
    return (frame, encoding) if value & 1 == _parity(frame, encoding) else None


def signal_to_noise(planes: np.ndarray, original: np.ndarray) -> float:
    """PSNR of the luma, dB."""
    rows = planes.shape[0] * 2 // 3
    error = np.mean((planes[:rows].astype(np.float64) - original[:rows]) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def _block(width: int, height: int) -> tuple[int, int]:
    return width // 16, height // 8


def _bits(frame: int, encoding: int) -> list[int]:
    value = (frame << ENCODING_BITS | encoding) << 1 | _parity(frame, encoding)
    return [value >> shift & 1 for shift in reversed(range(COLUMNS * ROWS))]


def _parity(frame: int, encoding: int) -> int:
    return (frame ^ encoding).bit_count() & 1

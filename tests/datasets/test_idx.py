import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepsize.datasets import read_idx
from stepsize.datasets.idx import unpack_idx


def idx(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return gzip.compress(header + values.astype(np.uint8).tobytes())


DIGITS = np.arange(24).reshape(2, 3, 4)
SOUND = idx(DIGITS)


def test_reads_what_the_format_describes(tmp_path: Path) -> None:
    path = tmp_path / "digits.gz"
    path.write_bytes(SOUND)
    assert read_idx(path).tolist() == DIGITS.tolist()
    assert read_idx(path).dtype == np.uint8


MALFORMED = {
    "empty": (b"", "gzip|starts with nothing"),
    "not gzip": (b"hello", "not a sound gzip file"),
    "header cut": (SOUND[:5], "cut short"),
    "stream cut": (SOUND[:-12], "cut short"),
    "checksum": (SOUND[:-8] + b"\0\0\0\0" + SOUND[-4:], "not a sound gzip file"),
    "damaged inside": (SOUND[:10] + b"\xff" * 4 + SOUND[14:], "not a sound gzip file"),
    "no content": (gzip.compress(b""), "starts with nothing"),
    "wrong magic": (gzip.compress(b"\x89PNG\r\n"), "starts with 89 50 4e 47"),
    "floats": (gzip.compress(b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0"), "unsigned bytes"),
    "no axes": (gzip.compress(b"\0\0\x08\x00"), "number of axes"),
    "axes cut": (gzip.compress(b"\0\0\x08\x03\0\0"), "header of 3 axes needs 16 bytes"),
    "too short": (gzip.compress(b"\0\0\x08\x01\0\0\0\x04abc"), "needs 4 bytes of data, but the file holds 3"),
    "too long": (gzip.compress(b"\0\0\x08\x01\0\0\0\x02abc"), "needs 2 bytes of data, but the file holds 3"),
}


@pytest.mark.parametrize(("content", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_file_is_named_with_what_is_wrong(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@given(st.data())
def test_any_change_is_a_value_error_or_harmless(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(SOUND) - 1))
    changed = SOUND[:at] + bytes([data.draw(st.integers(0, 255))]) + SOUND[at + 1 :]
    cut = changed[: data.draw(st.integers(0, len(SOUND)))]
    try:
        found = unpack_idx(cut)
    except ValueError:
        return
    assert found.tolist() == DIGITS.tolist()  # a byte of gzip's own header, such as the time

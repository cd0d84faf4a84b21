"""CRC-32C against the published check value, and against a loop over the bytes."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.fuzz.table import masked_crc32c as by_a_loop
from zoo.basics.crc32c import crc32c, masked_crc32c


def test_the_published_check_value() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # of RFC 3720, section B.4, and every catalogue of checksums
    assert crc32c(bytes(32)) == 0x8A9136AA and crc32c(b"\xff" * 32) == 0x62A8AB43


@pytest.mark.parametrize("size", [0, 1, 4, 511, 512, 513, 515, 1000, 4096, 65535, 65536, 100_003])
def test_every_way_of_cutting_into_rows(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    assert masked_crc32c(data) == masked_crc32c(data.tobytes()) == by_a_loop(data.tobytes())

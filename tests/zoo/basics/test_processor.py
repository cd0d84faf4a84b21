"""What is known of a processor, and of TensorFlow's functions on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.basics import processor

XEON = "processor : 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\n"
EPYC = "processor : 0\nflags\t\t: fpu avx2 vaes\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where /proc/cpuinfo is looked for; nothing is there yet."""
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "cpuinfo")
    return tmp_path / "cpuinfo"


@pytest.mark.parametrize(
    ("cpuinfo", "setting", "known"),
    [
        (XEON, "", True),
        (EPYC, "", False),
        (XEON, "TF_ENABLE_ONEDNN_OPTS=1", True),
        (XEON, "TF_ENABLE_ONEDNN_OPTS=0", False),
        (XEON, "ONEDNN_MAX_CPU_ISA=AVX2", False),
        (EPYC, "TF_ENABLE_ONEDNN_OPTS=1", False),
        (None, "", False),
    ],
)
def test_functions_for_avx512(
    cpuinfo: str | None, setting: str, known: bool, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if cpuinfo:
        place.write_text(cpuinfo)
    for name in (processor.ONEDNN, *processor._OTHER_FUNCTIONS):
        monkeypatch.delenv(name, raising=False)
    if setting:
        monkeypatch.setenv(*setting.split("="))
    assert processor.has_onednn_for_avx512.__wrapped__() == known


@pytest.mark.parametrize(
    ("cpuinfo", "multiplies"),
    [
        (EPYC, False),
        (XEON, False),
        ("flags : fpu avx512f avx512_bf16\n", True),
        ("flags : fpu amx_tile amx_bf16\n", True),
        ("processor : 0\nFeatures\t: fp asimd bf16\n", True),
        ("processor : 0\nFeatures\t: fp asimd\n", False),
    ],
)
def test_products_of_bfloat16(cpuinfo: str, multiplies: bool, place: Path) -> None:
    place.write_text(cpuinfo)
    assert processor.multiplies_bfloat16() == multiplies


def test_the_first_processor(place: Path) -> None:
    assert processor.cpu_info() == {}
    two = b"processor\t: 0\nmodel name\t: A \xff\nflags\t\t: a b\n\nprocessor\t: 1\nflags\t: c\n"
    place.write_bytes(two)
    assert processor.cpu_info() == {"processor": "0", "model name": "A \ufffd", "flags": "a b"}

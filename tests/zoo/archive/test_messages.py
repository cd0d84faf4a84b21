"""Classes of protobuf messages made of a table: numbers on the wire, defaults, and fields that may be missing."""

from __future__ import annotations

from zoo.archive.messages import message_classes

TABLE = {"Outer": (("inner", 2, "*Inner"),), "Inner": (("size", 1, "INT64"), ("name", 3, "BYTES"))}


def test_what_is_on_the_wire() -> None:
    """A byte for number and type of each field, as protobuf's encoding says: 2 << 3 | 2, then a length."""
    outer = message_classes("zoo.test.wire", "proto3", TABLE)["Outer"].FromString(b"\x12\x05\x08\x07\x1a\x01a\x12\x00")
    assert [(each.size, each.name) for each in outer.inner] == [(7, b"a"), (0, b"")]


def test_defaults() -> None:
    inner = message_classes("zoo.test.defaults", "proto2", TABLE, {("Inner", "size"): "5"})["Inner"]
    assert inner.FromString(b"").size == 5 and inner.FromString(b"\x08\x00").size == 0


def test_zero_and_missing() -> None:
    inner = message_classes("zoo.test.presence", "proto3", TABLE, with_presence={("Inner", "size")})["Inner"]
    assert inner.FromString(b"\x08\x00").HasField("size") and not inner.FromString(b"").HasField("size")

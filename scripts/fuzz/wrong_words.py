"""The words that the fuzzer of the command line gives: good ones for what is required, wrong ones for everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# A place where all files of this table are, and nothing else; every case gets a copy of it.
GOOD: Mapping[str, str] = {
    "registry": "dist/registry.json",
    "name": "small",
    "names": "small",
    "handles": "small",
    "model": "small",
    "checkpoint": "checkpoint",
    "source": "checkpoint/vocab.txt",
    "dist": "dist",
    "destination": "away",
    "out": "made/out",
    "input": "text.txt",
    "output": "made/vectors",
    "key": "keys/release.key",
    "to": "onnx",
}
GOOD_OF: Mapping[str, Mapping[str, str]] = {
    "install": {"file": "dist"},
    "keygen": {"file": "made/new"},
    "registry check": {"file": "dist/registry.json"},
    "registry format": {"file": "dist/registry.json"},
    "export": {"name": "mine"},
    "export-tokenizer": {"name": "mine"},
    "add": {"name": "mine"},
}
WORDS = ("", " ", "-", "模型", "%s", "a/b", "../x", "x" * 300, "\udcff", "a\nb", "\x1b[2J", "*[", "none", "fp64")
NUMBERS = ("-1", "0", "1e9", "nan", "-inf", "9" * 30, "0x10", "1.5", "٣")
PATHS = (
    "nowhere/at/all",
    "folder",
    "folder.tar.gz",
    "empty",
    "text.txt",
    "latin.txt",
    "zeros.bin",
    "list.json",
    "deep.json",
    "page.tar.gz",
    "page.zip",
    "page.index",
    "page.safetensors",
    "page.keras",
    "loop",
    "loop/x",
    "text.txt/x",
    "/dev/null",
    "/proc/1/mem/x",
    "~nobody-at-all/x",
    ".",
)
URLS = (
    "http://127.0.0.1:9/x.tar.gz",
    "https://127.0.0.1:9/x/registry.json",
    "http://[bad/x",
    "http://127.0.0.1:99999/x",
    "http://",
    "file:///nowhere/x.tar.gz",
    "file://elsewhere/x",
    "zoo://",
    "zoo://nothing",
    "hf://",
    "hf://a",
    "hf://a/b/c",
    "hf://a/b@main",
    "ms://a/b",
    "s3://bucket/x",
    "sftp://h/x",
    "gopher://x",
)
VALUES = (*WORDS, *NUMBERS, *PATHS, *URLS)
VARIABLES: Mapping[str, Sequence[str]] = {
    "ZOO_CACHE": (
        "text.txt",
        "text.txt/x",
        "/proc/cache",
        "/dev/null",
        "~nobody-at-all",
        "loop",
        "模型 x",
        "x" * 300,
        "\udcff",
    ),
    "ZOO_REGISTRY": (*PATHS, *URLS, "模型"),
    "ZOO_MIRROR": ("text.txt", "nowhere", "http://[bad", "http://127.0.0.1:9/", "gopher://x"),
    "ZOO_TRUSTED_KEY": ("x", "text.txt", "folder", "RWQ", "\udcff", ","),
    "ZOO_OFFLINE": ("perhaps", "1", "\udcff"),
    "ZOO_BUILD": ("perhaps", "never", ""),
    "ZOO_ALLOW_STALE": ("perhaps", "1"),
    "SOURCE_DATE_EPOCH": ("", "x", "-1", "9" * 30),
    "HF_ENDPOINT": ("x", "http://[bad", ""),
    "MODELSCOPE_DOMAIN": ("x y", "[bad"),
    "HF_TOKEN": ("\udcff", "a\nb"),
    "HOME": ("", "nowhere", "text.txt"),
    "XDG_CACHE_HOME": ("text.txt", "/proc/x"),
    "TMPDIR": ("nowhere", "text.txt", "/proc"),
    "COLUMNS": ("x", "0", "-5", "3"),
    "LANG": ("zh_CN", "x" * 300, ""),
    "LC_ALL": ("zh", "\udcff"),
    "https_proxy": ("x", "http://[bad"),
    "NO_COLOR": ("1",),
}
# What all cases have; a test of a variable replaces it. None: not set.
ENVIRONMENT: Mapping[str, str | None] = {
    **dict.fromkeys(VARIABLES),
    "ZOO_REGISTRY": "dist/registry.json",
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "MODELSCOPE_DOMAIN": "127.0.0.1:9",
    "ZOO_CACHE": "cache",
    "ZOO_BUILD": "never",
    "HOME": "home",
    "no_proxy": "127.0.0.1",
}

"""Renders the catalogue as one HTML file, which holds its style and scripts and loads nothing from other hosts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zoo.archive.kinds import KINDS
from zoo.basics.display import size
from zoo.basics.extras import imported
from zoo.contract import ENCODER_OUTPUTS, TASKS
from zoo.registry.entry import NOT_STATED, NoteSource, Source, UrlSource
from zoo.registry.table import published_size
from zoo.site.dist import Dist
from zoo.site.facts import PURPOSES, TOKENS, Fact, safe_link
from zoo.site.papers import citation
from zoo.site.speed import Speed, Speeds
from zoo.site.tokens import PageFile

_FOLDER = Path(__file__).parent
_SCRIPTS = (
    "snippets.js",
    "plot.js",
    "current.js",
    "page.js",
    "compare.js",
    "tokenizer.js",
    "vectors.js",
    "try.js",
    "start.js",
)
_OF_A_KIND = ("takes", "gives", "needs", "has_weights", "used_by")  # fields of a kind that snippets.js reads
_MIB = 1 << 20
_SIZES = (50, 100, 250, 500)  # MiB, the choices of the filter "Size"


def render(
    dist: Dist, facts: Sequence[Fact], speeds: Speeds | None, runtime: Mapping[str, PageFile] | None = None
) -> str:
    """Return the page. Raises ZooError when Jinja2 is not installed."""
    environment = _environment()
    style = _file("page.css")
    script = "\n".join(map(_file, _SCRIPTS))
    data = {
        "registry": {"models": dist.json.get("models", {})},
        "facts": [fact.for_script() for fact in facts],
        "kinds": {name: {each: getattr(kind, each) for each in _OF_A_KIND} for name, kind in KINDS.items()},
        "pairs": {name: call.takes for name, call in TASKS.items()},  # "texts", "pairs" or "both"
        "families": _families(facts),
        "measured": speeds.model_dump(include={"machine", "cores", "date", "tokens"}) if speeds else None,
        "tokens": TOKENS,
        "runtime": {name: asdict(file) for name, file in runtime.items()} if runtime else None,
    }
    page: str = environment.get_template("index.html").render(
        facts=facts,
        choices=_choices(facts),
        speeds=speeds,
        runtime=runtime,
        data=data,
        style=environment.globals["raw"](style),
        script=environment.globals["raw"](script),
        policy=_policy(style, script, runs_onnx=runtime is not None),
    )
    return page


def _environment() -> Any:
    jinja2 = imported("jinja2", "the catalogue page", "site")
    from markupsafe import Markup  # a dependency of Jinja2

    def both(english: str, chinese: str, *values: object) -> Markup:
        """Return a text in both languages; page.css hides one of them."""
        spans = '<span class="en">{}</span><span class="zh" lang="zh-CN">{}</span>'
        return Markup(spans).format(Markup(english).format(*values), Markup(chinese).format(*values))

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {
        "t": both,
        "raw": Markup,
        "bytes": size,
        "link": safe_link,
        "source": _source,
        "published_size": published_size,
        "by_output": _by_output,
        "kinds": KINDS,
        "number": lambda value: f"{value:,}",
        "millions": lambda value: f"{value / 1e6:.1f} M" if value < 1e9 else f"{value / 1e9:.1f} G",
        "digits": lambda value: f"{value:.2g}",
        "milliseconds": _milliseconds,
        "purposes": PURPOSES,
        "citation": citation,
        "NOT_STATED": NOT_STATED,
    }
    return environment


def _policy(style: str, script: str, runs_onnx: bool) -> str:
    """Return a Content-Security-Policy under which only this script runs, even if a registry or card contains one.

    With `runs_onnx` it may also run WebAssembly, and scripts that it made itself: ONNX Runtime, of bytes whose sha256
    it has compared. What a registry or card says can make none.
    """
    more = " blob: 'wasm-unsafe-eval'" if runs_onnx else ""
    return (
        f"default-src 'none'; style-src {_hashed(style)}; script-src {_hashed(script)}{more}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hashed(text: str) -> str:
    """Return the source expression by which a policy allows exactly this text: "'sha256-…'"."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _choices(facts: Sequence[Fact]) -> dict[str, list[Any]]:
    """Return the choices of each filter, in the order of the page."""
    found = {fact.purpose for fact in facts}
    return {
        "family": _families(facts),
        "kind": sorted({fact.entry.kind for fact in facts}),
        "task": [each for each in PURPOSES if each in found] + sorted(found - PURPOSES.keys()),
        "layers": sorted({fact.entry.layers for fact in facts if fact.entry.layers}),
        "licence": sorted({fact.entry.licence for fact in facts}),
        "size": [mib for mib in _SIZES if any(fact.size and fact.size > mib * _MIB for fact in facts)],
    }


def _families(facts: Sequence[Fact]) -> list[str]:
    return sorted({fact.entry.family for fact in facts if fact.entry.family})


def _by_output(differences: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return (output, difference); the outputs of all layers are one pair, "encoder_outputs (12)" and the largest."""
    layers = [value for output, value in differences.items() if output.startswith(ENCODER_OUTPUTS)]
    others = [(output, value) for output, value in differences.items() if not output.startswith(ENCODER_OUTPUTS)]
    return sorted(others, reverse=True) + ([(f"{ENCODER_OUTPUTS} ({len(layers)})", max(layers))] if layers else [])


def _source(source: Source) -> tuple[str, str]:
    """Return the text of a source, and its URL or ''."""
    if isinstance(source, UrlSource):
        return source.url, source.url
    return (source.text, "") if isinstance(source, NoteSource) else (source.page, source.page)


def _milliseconds(speed: Speed, batch: str) -> str:
    """Return the median time of a call and the quartiles around it: '4.9 ms (4.8–5.2)'."""
    median, *around = (f"{seconds * 1000:.3g}" for seconds in (speed.seconds[batch], *speed.quartiles.get(batch, ())))
    return f"{median} ms ({'–'.join(around)})" if around else f"{median} ms"


def _file(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8").strip()

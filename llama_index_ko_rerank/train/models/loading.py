"""Starting models, from disk, from the hub or from nothing, and their vectors and logits in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from transformers import PreTrainedConfig, PreTrainedModel

from llama_index_ko_rerank.catalog import PRETRAINED, CatalogModel, PoolingMode, find_model
from llama_index_ko_rerank.embed.loading import (
    DtypeName,
    find_model_folder,
    load_model,
    no_library_bars,
    set_max_tokens,
    set_pooling,
    token_counter,
)
from llama_index_ko_rerank.errors import InvalidSetting, ModelNotFound, UnsuitableModel
from llama_index_ko_rerank.models.pretrained import load_pretrained_cross_encoder
from llama_index_ko_rerank.models.quantized_embedding import QuantizedEmbedding
from llama_index_ko_rerank.rerank.cross_encoder.loading import ScorerSettings, load_cross_encoder, longest_input
from llama_index_ko_rerank.train.models.scratch import small_cross_encoder, static_model
from llama_index_ko_rerank.train.recipes.recipe import SCRATCH

_Model = TypeVar("_Model", SentenceTransformer, CrossEncoder)

LONGEST_PAIR = 512
"""Question and context together are trained on up to this many tokens, whatever more a base could read."""

LARGE_EMBEDDINGS = 50_000_000
"""Word embeddings of so many numbers are frozen on a processor: AdamW would keep 8 bytes for each, 400 MB or more."""


@dataclass(frozen=True, slots=True)
class StartingModel(Generic[_Model]):
    """A model before training.

    Attributes:
        name: ``scratch``, a hub name, or the folder that was given.
        revision: The commit on the hub; None for the newest, a folder, or ``scratch``.
        model: The model in float32, on its device; training changes it.
        max_tokens: The longest input in tokens; None where there is no limit.
        pooling: How token vectors become one; None where the model has no pooling.
        has_frozen_embeddings: Whether the word embeddings keep their weights.
    """

    name: str
    revision: str | None
    model: _Model
    max_tokens: int | None
    pooling: str | None = None
    has_frozen_embeddings: bool = False

    @property
    def is_scratch(self) -> bool:
        """Whether the model starts from nothing."""
        return self.name == SCRATCH


def bi_encoder_base(
    base: str,
    *,
    texts: Sequence[str],
    pooling: PoolingMode | None,
    device: str,
    seed: int,
    dtype: DtypeName = "float32",
) -> StartingModel[SentenceTransformer]:
    """Load or make an embedding model to train, with its prompts under ``query`` and ``document``.

    Args:
        base: ``scratch``, a folder, a catalog name, or a hub name.
        texts: What the vocabulary of ``scratch`` is learnt from.
        pooling: Defaults to that of the model or the catalog, else to the mean.
        device: A torch device.
        seed: Of the random vectors of ``scratch``.
        dtype: Of the weights; ``bfloat16`` only for a backbone that stays as it is.

    Raises:
        InvalidSetting: A pooling is set for a static embedding, which has none.
        ModelNotFound: There is no such folder or catalog name, and the hub does not have it or is out of reach.
        UnsuitableModel: It is no embedding model, is damaged, or its tokenizer has no pad token.
    """
    if base == SCRATCH:
        if pooling not in (None, "mean"):
            raise InvalidSetting(
                f"base='scratch' is a static embedding, the mean of its tokens; pooling={pooling!r} needs a transformer"
            )
        return StartingModel(SCRATCH, None, static_model(texts, seed=seed, device=device), max_tokens=None)
    folder = find_model_folder(base)
    model = load_model(folder, dtype=dtype, device=device, trust_remote_code=False)
    found_pooling = set_pooling(model, folder, pooling)
    token_counter(model, folder)  # refuses a tokenizer with no vocabulary
    if isinstance(model[0], StaticEmbedding):
        _rescale_to_unit_std(model[0])
    else:
        _check_pad_token(base, model)
    model.prompts = {"query": folder.query_prompt, "document": folder.passage_prompt}
    name = base if folder.is_local else folder.name
    return StartingModel(name, folder.revision, model, set_max_tokens(model, folder, None), found_pooling)


def is_static_folder(base: str) -> bool:
    """Return whether a base is a static embedding in a folder or in the wheel; nothing is loaded or downloaded."""
    known = find_model(base)
    folder = Path(base).expanduser()
    modules = ((known.folder if known and not folder.is_dir() else None) or folder) / "modules.json"
    return modules.is_file() and "StaticEmbedding" in modules.read_text(encoding="utf-8")


def _rescale_to_unit_std(embedding: StaticEmbedding) -> None:
    """Divide by the standard deviation, which changes no cosine: the recipes' rates are for numbers of about 1.

    A file may hold any scale; 8-bit floats are stored with numbers of about 40.
    """
    weight = embedding.embedding.weight.data
    weight /= weight.std()


def cross_encoder_base(
    base: str, *, texts: Sequence[str], device: str, seed: int, class_names: Sequence[str] = ()
) -> StartingModel[CrossEncoder]:
    """Load or make a cross-encoder to train; a base without a head of that width gets a random one.

    Args:
        base: ``scratch``, a folder, a catalog name, or a hub name.
        texts: What the vocabulary of ``scratch`` is learnt from.
        device: A torch device.
        seed: Of the weights of ``scratch``, and of a new head.
        class_names: One logit for each of these classes; a single logit where there are none.

    Raises:
        ModelNotFound: There is no such folder or catalog name, and the hub does not have it or is out of reach.
        UnsuitableModel: It cannot become a cross-encoder with such a head, or its tokenizer has no pad token.
    """
    num_labels = max(1, len(class_names))
    if base == PRETRAINED and not Path(base).is_dir():
        model = load_pretrained_cross_encoder(num_labels=num_labels, seed=seed, device=device)
        _name_classes(model, class_names)
        return StartingModel(base, None, model, max_tokens=model.max_seq_length)
    if base == SCRATCH:
        with no_library_bars():
            model = small_cross_encoder(texts, seed=seed, device=device, num_labels=num_labels)
        _name_classes(model, class_names)
        return StartingModel(SCRATCH, None, model, max_tokens=model.max_seq_length)
    found = _find_cross_encoder(base)
    model = _load_cross_encoder(found, device=device, seed=seed, num_labels=num_labels)
    _check_pad_token(base, model)
    known = found.catalog
    longest = longest_input(ScorerSettings(model=found.name), model)
    model.max_seq_length = min(longest, (known and known.max_tokens) or LONGEST_PAIR, LONGEST_PAIR)
    _name_classes(model, class_names)
    return StartingModel(base if found.is_local else found.name, found.revision, model, max_tokens=model.max_seq_length)


def shape_transformer(
    base: StartingModel[_Model], *, layers: int | None, train_embeddings: bool | None, device: str
) -> StartingModel[_Model]:
    """Drop layers of a transformer and freeze its word embeddings, in place.

    AdamW keeps no state for a frozen weight, and no gradient is computed for it.

    Args:
        base: A starting model; one from ``scratch`` and a static embedding have nothing to drop or freeze.
        layers: Layers to keep, the first, the last and evenly between; None for all. Six of twelve are those of
            DistilBERT.
        train_embeddings: Defaults to no on a processor where the word embeddings have `LARGE_EMBEDDINGS` numbers.
        device: ``cpu``, ``cuda`` or ``mps``.

    Raises:
        InvalidSetting: `layers` is out of range, or the base is no pretrained transformer.

    Source of the layers: Sanh et al., "DistilBERT, a distilled version of BERT", 2019.
    """
    backbone = None if base.is_scratch else base.model.transformers_model
    if not isinstance(backbone, PreTrainedModel):
        if layers is not None or train_embeddings is False:
            raise InvalidSetting(f"{base.name!r} is no pretrained transformer; leave layers and train_embeddings out")
        return base
    if layers is not None:
        _keep_layers(backbone, layers, base.name)
    embeddings = backbone.get_input_embeddings()
    assert isinstance(embeddings, torch.nn.Embedding | QuantizedEmbedding)  # what transformers make of token ids
    learns = train_embeddings
    if learns is None:
        learns = device != "cpu" or embeddings.num_embeddings * embeddings.embedding_dim < LARGE_EMBEDDINGS
    if not isinstance(embeddings, QuantizedEmbedding):  # which has no weights to learn
        embeddings.requires_grad_(learns)
    elif learns:
        backbone.set_input_embeddings(embeddings.to_float())
    return replace(base, has_frozen_embeddings=not learns)


def _keep_layers(backbone: PreTrainedModel, count: int, name: str) -> None:
    config = backbone.config
    total = int(config.num_hidden_layers)
    if not 2 <= count <= total:
        raise InvalidSetting(f"layers must be 2 to the {total} of {name!r}, not {count}")
    stacks = [
        (parent, child, stack)
        for parent in backbone.modules()
        for child, stack in parent.named_children()
        if isinstance(stack, torch.nn.ModuleList) and len(stack) == total
    ]
    if len(stacks) != 1:
        raise InvalidSetting(f"{name!r} has {len(stacks)} stacks of {total} layers; layers= needs a plain encoder")
    parent, child, stack = stacks[0]
    kept = [round(index * (total - 1) / (count - 1)) for index in range(count)]
    setattr(parent, child, torch.nn.ModuleList(stack[index] for index in kept))
    for number, index in enumerate(kept):
        for module in stack[index].modules():
            if hasattr(module, "layer_idx"):
                setattr(module, "layer_idx", number)  # noqa: B010  not declared by `Module`
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[index] for index in kept]
    config.num_hidden_layers = count


def trained_cross_encoder(name: str, *, device: str, role: str) -> CrossEncoder:
    """Load a trained cross-encoder, to filter negatives or to distil from.

    Args:
        name: A folder, a catalog name, or a hub name.
        device: A torch device.
        role: Its role, for the error.

    Raises:
        ModelNotFound: There is no such folder or catalog name, and the hub does not have it or is out of reach.
        UnsuitableModel: It has no head of one logit that was trained.
    """
    settings = ScorerSettings(model=_find_cross_encoder(name).name, device=device)
    refusal = f"the {role} {name!r} is no trained cross-encoder with one logit"
    try:
        model = load_cross_encoder(settings)
    except UnsuitableModel as error:
        raise UnsuitableModel(f"{refusal}: {error}") from error
    if model.num_labels != 1:
        raise UnsuitableModel(f"{refusal}; pass another model")
    model.max_seq_length = min(longest_input(settings, model), LONGEST_PAIR)
    return model


class _Found(NamedTuple):
    name: str
    revision: str | None
    is_local: bool
    catalog: CatalogModel | None


def _find_cross_encoder(base: str) -> _Found:
    is_local = Path(base).expanduser().is_dir()
    known = None if is_local else find_model(base)
    if known and known.folder:
        return _Found(str(known.folder), None, True, known)
    name = known.name if known else str(Path(base).expanduser()) if is_local else base
    return _Found(name, known.revision if known else None, is_local, known)


def _name_classes(model: CrossEncoder, class_names: Sequence[str]) -> None:
    if class_names:
        config = _config(model)
        config.id2label = dict(enumerate(class_names))
        config.label2id = {name: label for label, name in enumerate(class_names)}


def _config(model: CrossEncoder) -> PreTrainedConfig:
    assert model.model is not None  # `_load_cross_encoder` refuses one without
    return model.model.config


def _load_cross_encoder(found: _Found, *, device: str, seed: int, num_labels: int) -> CrossEncoder:
    name = found.name
    try:
        with no_library_bars(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: CrossEncoder = CrossEncoder(
                name,
                num_labels=num_labels,
                revision=found.revision,
                device=device,
                local_files_only=found.is_local,
                model_kwargs={"dtype": torch.float32, "use_safetensors": True},
            )
    except OSError as error:
        raise ModelNotFound(
            f"{name!r} is no folder with a model, and could not be fetched from the model hub "
            f"({_first_line(error)}); pass a folder of this machine or 'scratch'"
        ) from error
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise UnsuitableModel(
            f"{name!r} cannot become a cross-encoder with {_logits(num_labels)}: {_first_line(error)}"
        ) from error
    if model.model is None or model.num_labels != num_labels:
        raise UnsuitableModel(f"{name!r} has no transformer with {_logits(num_labels)} to train")
    return model


def _logits(count: int) -> str:
    return "one logit" if count == 1 else f"{count} logits"


def _check_pad_token(base: str, model: SentenceTransformer | CrossEncoder) -> None:
    if getattr(model.tokenizer, "pad_token", None) is None:
        raise UnsuitableModel(
            f"the tokenizer of {base!r} has no pad token, so texts of different length cannot be batched; "
            "give it one and save it again"
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


_STATIC_BATCH = 1024  # a static embedding pads nothing, and has little to do for each text


def unit_vectors(
    model: SentenceTransformer, texts: Sequence[str], side: Literal["query", "document"], batch_size: int
) -> NDArray[np.float32]:
    """Embed texts with the model's own prompt for that side.

    Returns:
        Shape (texts, dimension), each row of length 1.
    """
    encode = model.encode_query if side == "query" else model.encode_document
    vectors: NDArray[np.float32] = encode(
        list(texts),
        batch_size=_STATIC_BATCH if isinstance(model[0], StaticEmbedding) else batch_size,
        show_progress_bar=False,
        normalize_embeddings=True,
        convert_to_numpy=True,
    )
    return vectors


def pair_logits(model: CrossEncoder, pairs: Sequence[tuple[str, str]], batch_size: int) -> NDArray[np.float64]:
    """Score pairs with a cross-encoder, without its activation.

    Returns:
        Shape (pairs,) for a model with one logit, else (pairs, classes).
    """
    scores = model.predict(
        list(pairs), batch_size=batch_size, activation_fn=torch.nn.Identity(), show_progress_bar=False
    )
    return np.asarray(scores, dtype=np.float64)

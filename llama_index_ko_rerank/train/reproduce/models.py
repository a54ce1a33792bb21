"""The three models of the book's chapter, each trained once and kept."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.errors import InvalidSetting, ModelNotFound
from llama_index_ko_rerank.files import write_json_file
from llama_index_ko_rerank.train.arguments import TrainingArguments
from llama_index_ko_rerank.train.bi_encoder import train_bi_encoder
from llama_index_ko_rerank.train.cross_encoder import train_cross_encoder
from llama_index_ko_rerank.train.model_card import TrainingResult
from llama_index_ko_rerank.train.models.loading import bi_encoder_base, cross_encoder_base
from llama_index_ko_rerank.train.models.scratch import untrained_baseline
from llama_index_ko_rerank.train.recipes.bi_encoder import BOOK_MRC, BOOK_STS
from llama_index_ko_rerank.train.recipes.cross_encoder import BOOK_RERANK
from llama_index_ko_rerank.train.recipes.recipe import SCRATCH, Recipe
from llama_index_ko_rerank.train.recipes.schedule import choose_device
from llama_index_ko_rerank.train.reproduce.data import BookData

SETTINGS_FILE = "settings.json"
_MODELS = "models"
_Train = Callable[..., TrainingResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class BookSettings:
    """Settings of a reproduction; all of them decide the figures.

    Attributes:
        mrc: The spec of questions with contexts.
        sts: The spec of sentence pairs.
        bi_encoder_base: Starting model of the embedding: a hub name, a catalog name, a folder, or ``scratch``.
        cross_encoder_base: Starting model of the cross-encoder.
        rows: The most rows to learn from and to search in; None for all, and 1,000.
        seed: Of everything random.
    """

    mrc: str
    sts: str
    bi_encoder_base: str
    cross_encoder_base: str
    rows: int | None
    seed: int


def open_folder(out: Path, settings: BookSettings) -> None:
    """Make the folder of a reproduction, or find it again with the same settings.

    Raises:
        InvalidSetting: It holds other things, or a reproduction with other settings.
    """
    record = out / SETTINGS_FILE
    if not record.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InvalidSetting(f"{str(out)!r} holds something else than a reproduction; name another --out")
        write_json_file(record, asdict(settings))
        return
    try:
        earlier = json.loads(record.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidSetting(f"{str(record)!r} cannot be read ({error}); name another --out") from error
    changed = [
        f"{name}: {earlier.get(name)!r} then, {value!r} now"
        for name, value in asdict(settings).items()
        if earlier.get(name) != value
    ]
    if changed:
        raise InvalidSetting(
            f"{str(out)!r} holds a reproduction with other settings ({'; '.join(changed)}); name another --out"
        )


class ReproductionModels:
    """Trains the models of a reproduction, or finds those that an earlier run trained.

    A run that was interrupted goes on from its last checkpoint.

    Args:
        data: The rows.
        settings: The bases and the seed.
        out: The folder of the reproduction.
        show_progress: Whether training draws bars.
        on_step: Called with each step that begins.

    Raises:
        ModelNotFound: A base is neither here nor in reach.
        UnsuitableModel: A base is no model of the kind that is wanted.
    """

    def __init__(
        self, data: BookData, settings: BookSettings, out: Path, *, show_progress: bool, on_step: Callable[[str], None]
    ) -> None:
        self._data = data
        self._settings = settings
        self._folder = out / _MODELS
        self._show_progress = show_progress
        self._on_step = on_step
        self._device = choose_device(None)
        self._base: SentenceTransformer | None = None
        if settings.bi_encoder_base != SCRATCH:
            self._base = self._bi_encoder_base()
        # Looked at before hours of training, since a base may be out of reach or of another kind.
        self.untrained_cross_encoder: CrossEncoder = self._cross_encoder_base()
        self.is_static = self._base is None or isinstance(self._base[0], StaticEmbedding)

    def untrained_embedding(self) -> KoreanEmbedding:
        """Load the embedding model as it was before anything was learnt."""
        model = self._base or untrained_baseline(self.sts(), seed=self._settings.seed)
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder, create_model_card=False)
            return KoreanEmbedding(folder)

    def sts(self) -> Path:
        """Train the embedding model on sentence pairs, and return its folder."""
        base = self._settings.bi_encoder_base
        return self._trained("sts", train_bi_encoder, self._data.sts, base, BOOK_STS)

    def mrc(self) -> Path:
        """Train that model on questions and contexts, and return its folder."""
        base = str(self.sts())
        return self._trained("mrc", train_bi_encoder, self._data.mrc, base, BOOK_MRC)

    def cross_encoder(self) -> Path:
        """Train the cross-encoder on questions and contexts, and return its folder."""
        base = self._settings.cross_encoder_base
        return self._trained("reranker", train_cross_encoder, self._data.mrc, base, BOOK_RERANK)

    def _trained(
        self, name: str, train: _Train, rows: RetrievalDataset | PairDataset, base: str, recipe: Recipe
    ) -> Path:
        folder = self._folder / name
        if not any((folder / file).exists() for file in ("config.json", "modules.json")):
            self._on_step(f"training {name} on {rows.name} {rows.split}")
            arguments = TrainingArguments(
                base=base,
                recipe=recipe,
                seed=self._settings.seed,
                resume=folder.exists() and any(folder.iterdir()),
                show_progress=self._show_progress,
            )
            train(rows, folder, arguments=arguments)
        return folder

    def _bi_encoder_base(self) -> SentenceTransformer:
        name = self._settings.bi_encoder_base
        try:
            found = bi_encoder_base(name, texts=(), pooling=None, device=self._device, seed=self._settings.seed)
        except ModelNotFound as error:
            raise ModelNotFound(
                f"{error}. What is at hand can be passed: --bi-encoder-base FOLDER, ko-static or scratch"
            ) from error
        return found.model

    def _cross_encoder_base(self) -> CrossEncoder:
        name = self._settings.cross_encoder_base
        texts = [text for pair in self._data.mrc.pairs() for text in (pair.question, pair.context)]
        try:
            return cross_encoder_base(name, texts=texts, device=self._device, seed=self._settings.seed).model
        except ModelNotFound as error:
            raise ModelNotFound(
                f"{error}. What is at hand can be passed: --cross-encoder-base FOLDER, ko-mini-rerank or scratch"
            ) from error

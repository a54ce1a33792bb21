"""Models of an adapted search: the embedding, trained and compared with its base, and a small cross-encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from llama_index_ko_rerank.adapt.inputs import AdaptSettings, Collected, Sources
from llama_index_ko_rerank.adapt.questions import MadeQuestions
from llama_index_ko_rerank.adapt.static_embedding import PairSampler, add_random_index, fit_static
from llama_index_ko_rerank.catalog import DEFAULT_RERANKER
from llama_index_ko_rerank.data.dataset import Passage, Question, RetrievalDataset
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.embed.loading import no_library_bars
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.evaluate.significance import bootstrap_interval, paired_difference
from llama_index_ko_rerank.train.arguments import TrainingArguments
from llama_index_ko_rerank.train.bi_encoder import train_bi_encoder
from llama_index_ko_rerank.train.cross_encoder import train_cross_encoder
from llama_index_ko_rerank.train.models.loading import bi_encoder_base
from llama_index_ko_rerank.train.recipes.recipe import SCRATCH

BASE, WORDS, TRAINED = "base", "words of the corpus", "trained"
START, MODEL = "start", "model"
_CHECKPOINTS = "checkpoints"


def write_start(sources: Sources, settings: AdaptSettings, folder: Path) -> dict[str, Any]:
    """Write what training starts from, where that is not the base itself.

    Returns:
        Under ``is_static``, whether there is such a model in `folder`.
    """
    base = bi_encoder_base(settings.base, texts=sources.texts, pooling=None, device="cpu", seed=settings.seed)
    module = base.model[0]
    if not isinstance(module, StaticEmbedding) or any(base.model.prompts.values()):
        return {"is_static": False}
    model = add_random_index(module, sources.texts, dimensions=settings.random_index_dimensions, seed=settings.seed)
    _save(model, folder / START)
    return {"is_static": True, "tokens": len(model.tokenizer.get_vocab()), "dimension": model.get_embedding_dimension()}


@dataclass(frozen=True, slots=True)
class TrainingInputs:
    """Inputs of training and measuring an embedding.

    Attributes:
        collected: The collection.
        made: The questions.
        start: The model that `write_start` wrote, if any.
        settings: As the user gave them.
    """

    collected: Collected
    made: MadeQuestions
    start: Path | None
    settings: AdaptSettings

    def passages(self, part: str) -> list[Passage]:
        """List the passages that questions of a part are about."""
        ids = {question.passage_ids[0] for question in self.made.parts[part]}
        return [passage for passage in self.collected.passages if passage.id in ids]


def write_embedding(
    inputs: TrainingInputs,
    folder: Path,
    *,
    on_step: Callable[[str], None],
    on_progress: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """Train an embedding, and measure it beside what it came from on documents that it never saw.

    Returns:
        Under ``kept``, `BASE`, `WORDS` or `TRAINED`; under ``figures`` nDCG@10 of each over the held-out questions,
        with its 95 % interval; under ``gains`` differences; under ``questions`` how many there were.
    """
    settings = inputs.settings
    on_step("training the embedding")
    if inputs.start is not None:
        _train_static(inputs, inputs.start, folder, on_progress)
    else:
        _train_other(inputs, folder)
    on_step("measuring the embedding on documents that it was not trained on")
    names = {BASE: settings.base, WORDS: str(inputs.start), TRAINED: str(folder / MODEL)}
    if inputs.start is None:
        del names[WORDS]
    if settings.base == SCRATCH:
        del names[BASE]
    values = {}
    for name, model in names.items():
        values[name] = ndcg_at_10(KoreanEmbedding(model), inputs.collected.passages, inputs.made.parts["held-out"])
        on_progress("embeddings measured", len(values), len(names))
    kept, gains = choose(values, seed=settings.seed)
    figures = {name: bootstrap_interval(row, seed=settings.seed) for name, row in values.items()}
    return {"kept": kept, "figures": figures, "gains": gains, "questions": len(inputs.made.parts["held-out"])}


def choose(values: Mapping[str, NDArray[np.float64]], *, seed: int) -> tuple[str, dict[str, tuple[float, ...]]]:
    """Decide which embedding stays.

    Training must not lose for certain against the words alone: on the documents that it saw, which are most of the
    collection, it finds more than these figures can show. What it is then must gain for certain over the base, that is,
    the 95 % interval of the difference is above 0; otherwise the base stays.

    Args:
        values: nDCG@10 of each held-out question, by `BASE`, `WORDS` and `TRAINED`; the first two may be missing.
        seed: Of the intervals.

    Returns:
        The name of the one that stays, and each difference looked at, with the ends of its interval.
    """
    kept, gains = TRAINED, {}
    if WORDS in values:
        difference = paired_difference(values[TRAINED], values[WORDS], seed=seed)
        gains[f"{TRAINED} less {WORDS}"] = tuple(difference)
        kept = WORDS if difference.high < 0 else TRAINED
    if BASE in values:
        gain = paired_difference(values[kept], values[BASE], seed=seed)
        gains[f"{kept} less {BASE}"] = tuple(gain)
        kept = kept if gain.low > 0 else BASE
    return kept, gains


def ndcg_at_10(
    embed_model: KoreanEmbedding, passages: Sequence[Passage], questions: Sequence[Question]
) -> NDArray[np.float64]:
    """Measure an embedding alone, by exact cosines over all passages; a tie counts against it.

    Returns:
        Shape (questions,), in 0-1; each question has one passage, so a rank of r up to ten gives 1 / log2(r + 1).
    """
    vectors = np.array(embed_model.get_text_embedding_batch([passage.text for passage in passages]), np.float32)
    rows = {passage.id: row for row, passage in enumerate(passages)}
    values = np.zeros(len(questions))
    for number, question in enumerate(questions):
        cosines = vectors @ np.array(embed_model.get_query_embedding(question.text), np.float32)
        own = rows[question.passage_ids[0]]
        rank = int((cosines >= cosines[own]).sum())
        values[number] = 1 / np.log2(rank + 1) if rank <= 10 else 0.0
    return values


def _train_static(
    inputs: TrainingInputs, start: Path, folder: Path, on_progress: Callable[[str, int, int], None]
) -> None:
    settings = inputs.settings
    model = SentenceTransformer(str(start), device="cpu", local_files_only=True)
    module = model[0]
    assert isinstance(module, StaticEmbedding)  # `write_start` wrote it
    sampler = PairSampler(module.tokenizer, inputs.passages("train"), inputs.made.parts["train"], settings.seed)
    fit_static(
        module,
        sampler,
        steps=settings.steps,
        passages_per_step=settings.passages_per_step,
        folder=folder,
        on_progress=lambda done, total: on_progress("training", done, total),
    )
    _save(model, folder / MODEL)


def _train_other(inputs: TrainingInputs, folder: Path) -> None:
    """Train a transformer on hard negatives, mined from BM25 and from itself."""
    if inputs.settings.base == SCRATCH:
        raise InvalidSetting("base='scratch' makes a static embedding, and this one has prompts")
    passages = tuple(inputs.passages("train"))
    dataset = RetrievalDataset("made questions", "train", passages, inputs.made.parts["train"])
    output = folder / MODEL
    train_bi_encoder(
        dataset,
        output,
        arguments=TrainingArguments(
            base=inputs.settings.base,
            recipe="strong",
            seed=inputs.settings.seed,
            resume=(output / _CHECKPOINTS).exists(),
            overwrite=(output / "modules.json").exists(),
            show_progress=False,
        ),
    )


def _save(model: SentenceTransformer, folder: Path) -> None:
    with no_library_bars():
        model.save_pretrained(str(folder), create_model_card=False)


MODEL = "model"
_CHECKPOINTS = "checkpoints"


def write_cross_encoder(
    collected: Collected, made: MadeQuestions, settings: AdaptSettings, folder: Path
) -> dict[str, Any]:
    """Train ``ko-mini-rerank`` on the questions of the training documents, with hard negatives mined among these.

    Interrupted, it goes on from the last checkpoint in `folder`.
    """
    ids = {question.passage_ids[0] for question in made.parts["train"]}
    passages = tuple(
        Passage(passage.id, node.text, passage.title)
        for passage, node in zip(collected.passages, collected.nodes, strict=True)
        if passage.id in ids
    )
    output = folder / MODEL
    result = train_cross_encoder(
        RetrievalDataset("made questions", "train", passages, made.parts["train"]),
        output,
        arguments=TrainingArguments(
            base=DEFAULT_RERANKER,
            recipe="strong",
            max_steps=settings.steps,
            seed=settings.seed,
            resume=(output / _CHECKPOINTS).exists(),
            overwrite=(output / "config.json").exists(),
            show_progress=False,
        ),
    )
    return {"steps": result.steps, "metric": result.metric, "best_value": result.best_value}

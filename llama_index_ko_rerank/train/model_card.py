"""README.md of a trained model: where it comes from, how it was made, what it scored, what it is bad at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llama_index_ko_rerank.evaluate.report import installed_versions, markdown_table, versions_text
from llama_index_ko_rerank.train.recipes.recipe import SCRATCH, ModelTask, Recipe
from llama_index_ko_rerank.train.recipes.schedule import ResolvedSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """Folder, steps and scores of a trained model.

    Attributes:
        path: The folder of the model.
        recipe: The recipe's name.
        base: The starting model: ``scratch``, a hub name, or a folder.
        training_rows: Rows that one epoch goes through.
        steps: Optimizer steps of the whole run, those before a resume included.
        metric: The figure that chose the best step: ``mrr@10``, ``spearman`` or ``macro-f1``, on validation rows.
        best_step: The step whose weights are in the folder.
        best_value: Its value.
        untrained_value: The value before anything was learnt: of the base, or for ``scratch`` of its random vectors.
        history: Step and value of each evaluation. Step 0 is the start of training; for a static embedding from
            ``scratch`` it has the rarity of tokens on top of `untrained_value`.
        seconds: How long it took, loading and measuring included; of the last part, where the run was resumed.
    """

    path: Path
    recipe: str
    base: str
    training_rows: int
    steps: int
    metric: str
    best_step: int
    best_value: float
    untrained_value: float
    history: tuple[tuple[int, float], ...]
    seconds: float

    @property
    def improved(self) -> bool:
        """Whether the best step is better than the start of training."""
        return self.best_value > self.history[0][1]


_METRICS = {"mrr@10": "MRR@10", "spearman": "Spearman's correlation", "macro-f1": "F1, the mean of the classes"}
_TWICE = {
    "shuffled": "allowed",
    "no-duplicates": "never",
    "apart": "no question or context, and no context as another row's negative",
}
_KINDS = {"bi-encoder": "embedding model", "cross-encoder": "cross-encoder"}
_PIPELINES = {"bi-encoder": "sentence-similarity", "cross-encoder": "text-ranking"}
_USES = {
    "bi-encoder": "from llama_index_ko_rerank import KoreanEmbedding\n\nembed_model = KoreanEmbedding({folder!r})",
    "cross-encoder": (
        "from llama_index_ko_rerank import CrossEncoderNodePostprocessor\n\n"
        "reranker = CrossEncoderNodePostprocessor({folder!r}, top_n=5)"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """Facts of the card beside the result.

    Attributes:
        recipe: What the model was trained by.
        schedules: The schedule of each stage.
        revision: The commit of the base on the hub.
        data: The data sets, with their splits and rows, by what they were used for.
        notes: What else was found of the data: mined negatives, class sizes.
        evaluator_description: How the score was measured, where that needs a word.
        max_tokens: The longest input in tokens; None where there is no limit.
        pooling: How token vectors become one.
        layers: Transformer layers that were kept; None for all.
        has_frozen_embeddings: Whether the word embeddings kept their weights.
        prompts: Put before texts, by what they are.
        cut_rows: Training texts that have more tokens than the model reads.
        seed: Of the order of rows, of what was held out, and of new weights.
        device: What it was trained on.
    """

    recipe: Recipe
    schedules: tuple[ResolvedSchedule, ...]
    revision: str | None
    data: Mapping[str, str]
    notes: tuple[str, ...]
    evaluator_description: str
    max_tokens: int | None
    pooling: str | None
    layers: int | None
    has_frozen_embeddings: bool
    prompts: Mapping[str, str]
    cut_rows: int
    seed: int
    device: str


def model_card(result: TrainingResult, facts: CardFacts) -> str:
    """Write the card: YAML front matter as the hub reads it, and Markdown."""
    kind = _KINDS[facts.recipe.task]
    sections = [
        _front_matter(result, facts),
        f"# {result.path.name}",
        f"A Korean {kind}, trained {_origin(result, facts)} with the recipe `{facts.recipe.name}` of "
        "llama-index-ko-rerank.",
        f"```python\n{_USES[facts.recipe.task].format(folder=result.path.name)}\n```",
        "## Data\n\n"
        + "\n".join(f"- {use}: {description}" for use, description in facts.data.items())
        + "".join(f"\n- {note}" for note in facts.notes),
        "## Settings\n\n" + markdown_table(["setting", "value"], _settings(result, facts)),
        "## Scores\n\n" + _scores(result, facts.recipe.task),
        "## Made with\n\n"
        f"- {versions_text(installed_versions())}\n- {facts.device}, {result.seconds:,.0f} s, measuring included",
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in _limits(result, facts)),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(result: TrainingResult, facts: CardFacts) -> str:
    lines = ["---", "language:", "- ko", "library_name: sentence-transformers"]
    lines += [f"pipeline_tag: {_PIPELINES[facts.recipe.task]}", "tags:", "- sentence-transformers"]
    lines += ["- llama-index-ko-rerank", f"- {facts.recipe.task}"]
    if facts.revision is not None:
        lines.append(f"base_model: {json.dumps(result.base)}")
    return "\n".join([*lines, "---"])


def _origin(result: TrainingResult, facts: CardFacts) -> str:
    if result.base == SCRATCH:
        return "from nothing (its vocabulary and weights come from the data below alone)"
    return f"from `{result.base}`" + (f" at revision `{facts.revision}`" if facts.revision else "")


def _settings(result: TrainingResult, facts: CardFacts) -> list[tuple[str, str]]:
    schedule = facts.schedules[0]
    return [
        ("loss", facts.recipe.loss),
        *_of_the_recipe(facts.recipe),
        ("epochs", f"{schedule.epochs}" + (f", at most {schedule.max_steps} steps" if schedule.max_steps else "")),
        ("steps", f"{result.steps:,}"),
        ("batch size", f"{schedule.batch_size}"),
        ("a text twice in a batch", _TWICE[facts.recipe.batches]),
        ("learning rate", f"{schedule.learning_rate:g}, falling to 0 in a straight line"),
        ("warm-up steps", f"{schedule.warmup_steps}"),
        ("weight decay", f"{schedule.weight_decay:g}"),
        ("longest input in tokens", "no limit" if facts.max_tokens is None else f"{facts.max_tokens:,}"),
        *([("pooling", facts.pooling)] if facts.pooling else []),
        *([("layers kept of the base", f"{facts.layers}")] if facts.layers else []),
        *([("word embeddings", "frozen")] if facts.has_frozen_embeddings else []),
        *((f"prompt of a {what}", json.dumps(prompt, ensure_ascii=False)) for what, prompt in facts.prompts.items()),
        *_second_stage(facts),
        ("seed", f"{facts.seed}"),
    ]


def _of_the_recipe(recipe: Recipe) -> list[tuple[str, str]]:
    """List what a recipe settles beside its schedule, where it does."""
    rows: list[tuple[str, str]] = []
    if recipe.loss == "MultipleNegativesRankingLoss":
        rows.append(("temperature", f"{1 / recipe.scale:g}"))
    if recipe.mining is not None:
        rows.append(("hard negatives a row", f"{recipe.mining.negatives}, margin {recipe.mining.margin:g}"))
    if recipe.matryoshka_dims:
        rows.append(("may be cut to", ", ".join(map(str, recipe.matryoshka_dims))))
    if recipe.space_drop_rate:
        rows.append(("questions that lose spaces", f"{recipe.space_drop_rate:.0%}"))
    if recipe.lora is not None:
        state = "merged into the backbone" if recipe.lora.merged else "beside the backbone, which is loaded with them"
        rows.append(("adapters", f"rank {recipe.lora.rank}, alpha {recipe.lora.alpha}, {state}"))
    helpers = {
        "cross_encoder_filter": recipe.cross_encoder_filter,
        "teacher": recipe.teacher,
        "mined with": recipe.embed_model,
    }
    rows += [(role, f"`{name}`") for role, name in helpers.items() if name]
    if recipe.class_names:
        rows.append(("classes", ", ".join(recipe.class_names)))
    return rows


def _second_stage(facts: CardFacts) -> list[tuple[str, str]]:
    if len(facts.schedules) == 1:
        return []
    schedule = facts.schedules[1]
    return [
        ("second stage", f"{facts.recipe.then}, {schedule.steps:,} steps of {schedule.batch_size} lists"),
        ("its learning rate", f"{schedule.learning_rate:g}"),
    ]


def _scores(result: TrainingResult, task: ModelTask) -> str:
    metric = _METRICS[result.metric]
    change = result.best_value - result.untrained_value
    verdict = (
        f"{metric} on the validation rows: {result.untrained_value:.4f} untrained, {result.best_value:.4f} at step "
        f"{result.best_step}, whose weights are here ({change:+.4f})."
    )
    if not result.improved:
        verdict += f" **No step beat the start, {result.history[0][1]:.4f}: training did not help on these data.**"
    rows = [(f"{step:,}", f"{value:.4f}") for step, value in result.history]
    if result.base == SCRATCH and task == "bi-encoder":
        rows[0] = ("0, tokens weighed by their rarity", rows[0][1])
        rows.insert(0, ("0, random vectors", f"{result.untrained_value:.4f}"))
    return verdict + "\n\n" + markdown_table(["step", metric], rows)


def _limits(result: TrainingResult, facts: CardFacts) -> list[str]:
    limits = [
        "The scores are from data of the same kind as the training rows, they have no interval, and the best step was "
        "chosen by them, so they flatter the model. Measure it on questions of your own with `ko-rerank evaluate`."
    ]
    if facts.evaluator_description:
        limits.append(facts.evaluator_description)
    if result.base == SCRATCH and facts.recipe.task == "bi-encoder":
        limits.append(
            "It is a bag of word pieces: it reads no word order, and knows no synonym that the data do not show."
        )
    if result.base == SCRATCH and facts.recipe.task == "cross-encoder":
        limits.append(
            "It knows no language beyond the training rows: mostly it sees which words of the question stand in the "
            "passage. Where a pretrained base is in reach, take that."
        )
    if facts.cut_rows:
        limits.append(f"{facts.cut_rows:,} training texts were longer than the longest input, and were cut.")
    return limits

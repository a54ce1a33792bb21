"""Documents with no questions to a collection that is fitted to them, measured, and ready to search."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_index_ko_rerank.adapt.inputs import AdaptSettings, Collected, Sources, collect, read_files
from llama_index_ko_rerank.adapt.models import (
    MODEL,
    START,
    TRAINED,
    WORDS,
    TrainingInputs,
    write_cross_encoder,
    write_embedding,
    write_start,
)
from llama_index_ko_rerank.adapt.questions import MadeQuestions, read_questions, write_questions
from llama_index_ko_rerank.adapt.search import (
    Retrievers,
    make_index,
    measure_steps,
    report_content,
    report_markdown,
    write_fit,
)
from llama_index_ko_rerank.adapt.step_cache import (
    CROSS_ENCODER,
    EMBEDDING,
    StepCache,
    check_out,
    digest,
    open_step_cache,
    publish,
)
from llama_index_ko_rerank.collection import RANKER_FILE, SETTINGS_FILE, CollectionSettings
from llama_index_ko_rerank.data.load import load_dataset
from llama_index_ko_rerank.embed import KoreanEmbedding, embedding_identity
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.files import write_json_file, write_text_file
from llama_index_ko_rerank.ingest.documents import SkippedFile
from llama_index_ko_rerank.ingest.sync import DEFAULT_MAX_MB, plan_sync
from llama_index_ko_rerank.store.vector_store import DurableFaissVectorStore
from llama_index_ko_rerank.train.recipes.recipe import SCRATCH
from llama_index_ko_rerank.train.trainer.checkpoints import raise_disk_full

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

_FORMAT = 1
_STAGED_INDEX = ".index"
_LEXICAL = "lexical"
_FINISHED = "finished.json"
_REPORT, _REPORT_TEXT = "report.json", "report.md"
_SMALL = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptResult:
    """Result of an adaptation: the collection, and how it came about.

    Attributes:
        folder: The collection, which `Collection.open` takes.
        documents: How many documents are in it.
        passages: How many passages.
        refused: Files that could not be read, with the reasons.
        embedding: Which embedding stayed: ``base``, ``words of the corpus`` or ``trained``.
        report: What ``report.json`` says: every figure with its 95 % interval, and how many questions it is of.
        seconds: How long this call took; of a resumed run, its last part.
    """

    folder: Path
    documents: int
    passages: int
    refused: tuple[SkippedFile, ...]
    embedding: str
    report: dict[str, Any]
    seconds: float


def adapt_to_documents(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    data: str | None = None,
    settings: AdaptSettings | None = None,
    llm: LLM | None = None,
    max_mb: int = DEFAULT_MAX_MB,
    command: str = "",
    on_step: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> AdaptResult:
    """Fit a whole search to documents that have no questions, and measure what each step gains.

    Questions are made of the passages, by rules or by an LLM. The embedding is trained on those of most documents;
    weights and ranker, and the `retrieval_weight` of a cross-encoder, are fitted on those of others; all is measured
    on those of the rest. What does not help is not kept. All documents are in the index. Made questions are not users'
    questions, and the report says so.

    Interrupted at any moment, the same call goes on where it was: what was finished and whose inputs have not changed
    is not done again. Until everything is there, `out` does not open as a collection. The same documents, settings and
    seed give the same result on one processor.

    Args:
        paths: Files, and folders of them, as `ko-rerank index` takes them; none where there is `data`.
        out: The folder of the collection: new, empty, or of an earlier adaptation.
        data: A data set whose passages are the documents (see `load_dataset`); its questions are never read.
        settings: What decides the outcome. Defaults to `AdaptSettings()`.
        llm: Writes the questions instead of the rules; any LlamaIndex LLM.
        max_mb: The largest file that is read, in millions of bytes.
        command: What the report names as its command.
        on_step: Called with what begins, and what is kept or made again.
        on_progress: Called with what is done, how much of it, and of how much.

    Raises:
        InvalidSetting: There are both paths and data, or neither, or `out` holds something else.
        DatasetUnavailable: A path is missing.
        EmptyCorpus: There is nothing to read, or fewer than ten different passages or three documents, or too few
            questions could be made.
        ModelNotFound, UnsuitableModel: The base cannot be trained.
        IndexBusy: Another process adapts into `out`.
        DiskFull: What was finished is kept.
    """
    started = time.perf_counter()
    settings = settings or AdaptSettings()
    folder = Path(out).expanduser().absolute()
    if bool(paths) == bool(data):
        raise InvalidSetting("name what to adapt to: either files and folders, or a data set")
    check_out(folder)
    model = KoreanEmbedding() if settings.base == SCRATCH else KoreanEmbedding(settings.base)
    sources = _read(paths, data, folder, model, max_mb)
    if sum(map(len, sources.texts)) < _SMALL:
        collect(sources.nodes(model))  # too few documents are an error before anything is written
    advice = "make room and run the same command again; what was finished is kept"
    with raise_disk_full(folder, advice), open_step_cache(folder, on_step) as cache:
        run = AdaptationRun(
            folder, cache, sources, settings, tuple(paths), model, llm, max_mb, command, on_step, on_progress
        )
        content = run.finished() or run.execute()
    return AdaptResult(
        folder=folder,
        documents=content["documents"],
        passages=content["passages"],
        refused=sources.refused,
        embedding=content["embedding"]["kept"],
        report=content,
        seconds=time.perf_counter() - started,
    )


def _read(paths: Sequence[str | Path], data: str | None, folder: Path, model: KoreanEmbedding, max_mb: int) -> Sources:
    if data:
        return Sources(dataset=load_dataset(data).with_questions(()))
    staged = folder / _STAGED_INDEX
    return read_files(plan_sync(staged, paths, embed_model=model, leave_out=folder, max_mb=max_mb, reset=True))


@dataclass(frozen=True, slots=True)
class AdaptationRun:
    """Adaptation under way: its inputs and step cache."""

    folder: Path
    cache: StepCache
    sources: Sources
    settings: AdaptSettings
    paths: tuple[str | Path, ...]
    base: KoreanEmbedding
    llm: LLM | None
    max_mb: int
    command: str
    on_step: Callable[[str], None]
    on_progress: Callable[[str, int, int], None]

    @property
    def inputs(self) -> dict[str, object]:
        """What everything depends on."""
        base = SCRATCH if self.settings.base == SCRATCH else embedding_identity(self.base)
        return {"format": _FORMAT, "documents": self.sources.digest, "base": base, "seed": self.settings.seed}

    @property
    def llm_name(self) -> str | None:
        """The name of the LLM that writes the questions."""
        return self.llm.metadata.model_name if self.llm else None

    def everything(self) -> str:
        """Return a digest of all inputs."""
        return digest([self.inputs, asdict(self.settings), self.llm_name])

    def finished(self) -> dict[str, Any] | None:
        """Read the report of a run with the same inputs that came to its end."""
        finished = self.cache.folder / _FINISHED
        if not finished.exists() or not (self.folder / SETTINGS_FILE).exists():
            return None
        if json.loads(finished.read_text(encoding="utf-8")) != {"inputs": self.everything()}:
            return None
        self.on_step("nothing has changed: the collection is as it was")
        content: dict[str, Any] = json.loads((self.folder / _REPORT).read_text(encoding="utf-8"))
        return content

    def execute(self) -> dict[str, Any]:
        """Do every step that is not done, and put the collection in its place."""
        settings = self.settings
        self.on_step("reading the words of the documents")
        start_folder, start = self.cache.step(
            "start",
            {**self.inputs, "random_index_dimensions": settings.random_index_dimensions},
            lambda folder: write_start(self.sources, settings, folder),
        )
        start_model = start_folder / START if start["is_static"] else None
        collected = collect(self.sources.nodes(KoreanEmbedding(start_model or settings.base)))
        made = self.questions("questions", collected)
        trained, embedding = self.cache.step(
            "embedding",
            {**self.inputs, **self.training_inputs(collected, made), "dimensions": settings.random_index_dimensions},
            lambda folder: write_embedding(
                TrainingInputs(collected, made, start_model, settings),
                folder,
                on_step=self.on_step,
                on_progress=self.on_progress,
            ),
        )
        models = {WORDS: start_model, TRAINED: trained / MODEL}
        kept = models.get(embedding["kept"])
        if kept is None and start_model is not None:  # the base cuts documents otherwise than what was tried
            collected = collect(self.sources.nodes(self.base))
            made = self.questions("questions-of-the-base", collected)
        return self.search(collected, made, kept, start, embedding)

    def questions(self, name: str, collected: Collected) -> MadeQuestions:
        """Make the questions, unless they are made."""
        self.on_step("making questions")
        inputs = {
            "format": _FORMAT,
            "documents": digest([collected.digest, collected.documents]),
            "questions_per_passage": self.settings.questions_per_passage,
            "seed": self.settings.seed,
            "llm": self.llm_name,
        }
        folder, result = self.cache.step(
            name,
            inputs,
            lambda folder: write_questions(
                collected, self.settings, folder, llm=self.llm, on_progress=self.on_progress
            ),
        )
        return read_questions(folder, result)

    def training_inputs(self, collected: Collected, made: MadeQuestions) -> dict[str, object]:
        """Return what a model that learns from the questions depends on."""
        questions = {part: [[q.text, *q.passage_ids] for q in rows] for part, rows in made.parts.items()}
        steps = {"steps": self.settings.steps, "passages_per_step": self.settings.passages_per_step}
        return {"passages": collected.digest, "questions": digest(questions), **steps}

    def search(
        self,
        collected: Collected,
        made: MadeQuestions,
        kept: Path | None,
        start: dict[str, Any],
        embedding: dict[str, Any],
    ) -> dict[str, Any]:
        """Index, fit, measure and publish."""
        inputs = {**self.inputs, **self.training_inputs(collected, made)}
        cross_encoder = self.cross_encoder(collected, made, inputs)
        self.on_step("indexing all documents")
        model = KoreanEmbedding(kept) if kept else self.base
        staged = self.folder / _STAGED_INDEX
        index = make_index(
            self.sources,
            collected,
            staged,
            paths=self.paths,
            max_mb=self.max_mb,
            embed_model=model,
            on_progress=self.on_progress,
        )
        retrievers = Retrievers.over(index, collected, self.cache.folder / _LEXICAL)
        inputs = {**inputs, "embedding": embedding_identity(model), "cross_encoder": cross_encoder is not None}
        self.on_step("fitting the search on documents set aside")
        fit_folder, fit = self.cache.step(
            "fit",
            inputs,
            lambda folder: write_fit(
                retrievers,
                made.parts["fit"],
                folder,
                cross_encoder=cross_encoder,
                seed=self.settings.seed,
                on_step=self.on_step,
            ),
        )
        self.on_step("measuring every step on held-out documents")
        _, measured = self.cache.step(
            "measure",
            {**inputs, "fit": digest(fit)},
            lambda _: self.measured(retrievers, collected, made, fit, fit_folder, kept, cross_encoder),
        )
        assert isinstance(index.vector_store, DurableFaissVectorStore)  # `make_index` made it
        index.vector_store.close()
        content = report_content(
            self.sources,
            collected,
            made,
            self.settings,
            llm=self.llm_name,
            start=start,
            embedding=embedding,
            fit=fit,
            measured=measured,
            command=self.command,
        )
        self.publish(content, staged, kept, fit_folder, cross_encoder)
        return content

    def cross_encoder(self, collected: Collected, made: MadeQuestions, inputs: dict[str, object]) -> Path | None:
        """Train the cross-encoder, where the settings want one."""
        if not self.settings.cross_encoder:
            return None
        self.on_step("training the cross-encoder")
        folder, _ = self.cache.step(
            CROSS_ENCODER, inputs, lambda folder: write_cross_encoder(collected, made, self.settings, folder)
        )
        return folder / MODEL

    def measured(
        self,
        retrievers: Retrievers,
        collected: Collected,
        made: MadeQuestions,
        fit: dict[str, Any],
        fit_folder: Path,
        kept: Path | None,
        cross_encoder: Path | None,
    ) -> dict[str, Any]:
        """Measure every step."""
        report, gains = measure_steps(
            retrievers,
            collected,
            made.parts["held-out"],
            fit,
            fit_folder,
            base=self.base if kept and self.settings.base != SCRATCH else None,
            cross_encoder=cross_encoder,
            seed=self.settings.seed,
            command=self.command,
            on_progress=self.on_progress,
        )
        return {"report": report.to_json_dict(), "gains": gains}

    def publish(
        self, content: dict[str, Any], staged: Path, kept: Path | None, fit_folder: Path, cross_encoder: Path | None
    ) -> None:
        """Put the collection in its place, and note that it is whole."""
        (self.cache.folder / _FINISHED).unlink(missing_ok=True)
        write_json_file(self.folder / _REPORT, content)
        write_text_file(self.folder / _REPORT_TEXT, report_markdown(content))
        fit = content["fit"]
        models = {EMBEDDING: kept} if kept else {}
        if cross_encoder and fit["uses_cross_encoder"]:
            models[CROSS_ENCODER] = cross_encoder
        fitted = fit_folder / RANKER_FILE
        publish(
            self.folder,
            CollectionSettings(
                str(self.folder / EMBEDDING) if kept else self.settings.base,
                str(self.folder / CROSS_ENCODER) if CROSS_ENCODER in models else None,
                fit["weights"],
                fit["ranker"],
                fit["retrieval_weight"],
            ),
            index=staged,
            lexical=self.cache.folder / _LEXICAL,
            models=models,
            files={RANKER_FILE: fitted} if fit["ranker"] == RANKER_FILE else {},
            old=self.cache.folder / "old",
        )
        write_json_file(self.cache.folder / _FINISHED, {"inputs": self.everything()})

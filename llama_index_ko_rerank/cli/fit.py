"""`ko-rerank fit`: fit the search to a collection from questions whose passages are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llama_index_ko_rerank.cli.console import configure, errors, output
from llama_index_ko_rerank.cli.train import DATA

RANKER_FILE = "ranker.json"
_KEPT = {
    "none": "no ranker",
    "default": "the ranker that ships",
    "fitted": "the ranker fitted here",
    "cross-encoder": "the cross-encoder",
}


def fit(
    data: Annotated[str, typer.Option(help=f"Questions with their passages, 100 or more: {DATA}.")],
    out: Annotated[Path, typer.Option(help="The folder of the collection; it is made where there is none.")],
    split: Annotated[str | None, typer.Option(help="The split whose questions are fitted on.")] = None,
    embed_model: Annotated[
        str | None, typer.Option(help="The embedding model of a collection to be made; ko-static where not given.")
    ] = None,
    rerank_model: Annotated[
        str | None, typer.Option(help="A cross-encoder to try; the collection's where not given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the parts held out, and of the intervals.")] = 0,
) -> None:
    """Fit the weights of the legs and the ranker in one go, and keep a part only if it helps.

    The collection in --out is fitted, and must hold the passages of the data; one is made of them where there is none.
    """
    configure()
    from dataclasses import replace

    from llama_index_ko_rerank.collection import open_collection, read_settings, write_settings
    from llama_index_ko_rerank.data import load_dataset
    from llama_index_ko_rerank.files import write_text_file
    from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor
    from llama_index_ko_rerank.train.tuning.search import gain_text, tune_search

    dataset = load_dataset(data, split)
    if not (out / "ko-rerank.json").exists():
        _make_collection(data, out, embed_model)
    collection = open_collection(out, rerank=False)
    model = rerank_model or read_settings(out).rerank_model
    depth = collection.lexical.similarity_top_k
    fitted = tune_search(
        collection.lexical,
        dataset,
        dense=collection.index.as_retriever(similarity_top_k=depth),
        reranker=CrossEncoderNodePostprocessor(model, top_n=depth) if model else None,
        seed=seed,
        on_step=lambda step: errors.print(f"{step} …", highlight=False),
    )
    write_text_file(out / RANKER_FILE, fitted.fitted_ranker.to_json())
    rankers = {"none": None, "default": "default", "fitted": RANKER_FILE, "cross-encoder": None}
    is_kept = fitted.ranker == "cross-encoder"
    settings = replace(
        read_settings(out),
        weights=fitted.fusion.weights if fitted.fusion else None,
        ranker=rankers[fitted.ranker],
        rerank_model=model if is_kept else None,
        blend=fitted.blend or 0.0 if is_kept else 0.0,
    )
    write_settings(out, settings)
    output.print(f"held-out gains over {fitted.questions} questions:", highlight=False)
    for line in gain_text(fitted.gains):
        output.print(f"  {line}", highlight=False)
    if fitted.fusion:
        shares = ", ".join(f"{leg} {share:.2f}" for leg, share in fitted.fusion.weights.items())
        dropped = f"; dropped: {', '.join(fitted.fusion.dropped)}" if fitted.fusion.dropped else ""
        output.print(f"legs: {shares}{dropped}", highlight=False)
    share = f", the first stage having {fitted.blend:.2f} of the score" if is_kept else ""
    output.print(f"kept: {_KEPT[fitted.ranker]}{share}", highlight=False)
    if model and not is_kept:
        output.print(f"left out: the cross-encoder {model}, whose gain is not certain", highlight=False)


def _make_collection(data: str, out: Path, embed_model: str | None) -> None:
    from llama_index_ko_rerank.cli.index import index

    index(out, embed_model, source=None, data=data)

"""`ko-rerank fit`: fit the search to a collection from questions whose passages are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llama_index_ko_rerank.cli.console import configure, errors, output
from llama_index_ko_rerank.cli.train import DATA

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
    from llama_index_ko_rerank.collection import CANDIDATES, SETTINGS_FILE, Collection
    from llama_index_ko_rerank.data import load_dataset
    from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor
    from llama_index_ko_rerank.train.tuning.search import gain_text, tune_search

    dataset = load_dataset(data, split)
    collection = Collection.open_or_create(out, embed_model=embed_model)
    if not (out / SETTINGS_FILE).exists():
        collection.index_dataset(data, show_progress=output.is_terminal)
    model = rerank_model or collection.settings.rerank_model
    fitted = tune_search(
        collection.lexical_retriever(),
        dataset,
        dense=collection.dense_retriever(),
        reranker=CrossEncoderNodePostprocessor(model, top_n=CANDIDATES) if model else None,
        seed=seed,
        on_step=lambda step: errors.print(f"{step} …", highlight=False),
    )
    collection.use_fitted(fitted, rerank_model=model)
    is_kept = fitted.ranker == "cross-encoder"
    output.print(f"held-out gains over {fitted.questions} questions:", highlight=False)
    for line in gain_text(fitted.gains):
        output.print(f"  {line}", highlight=False)
    if fitted.fusion:
        shares = ", ".join(f"{leg} {share:.2f}" for leg, share in fitted.fusion.weights.items())
        dropped = f"; dropped: {', '.join(fitted.fusion.dropped)}" if fitted.fusion.dropped else ""
        output.print(f"legs: {shares}{dropped}", highlight=False)
    share = f", the first stage having {fitted.retrieval_weight:.2f} of the score" if is_kept else ""
    output.print(f"kept: {_KEPT[fitted.ranker]}{share}", highlight=False)
    if model and not is_kept:
        output.print(f"left out: the cross-encoder {model}, whose gain is not certain", highlight=False)

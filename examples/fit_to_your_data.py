"""Fit a search to your own questions, and keep of it only what helps.

    python examples/fit_to_your_data.py

On the command line this is `ko-rerank fit --data pairs:questions.jsonl --out my_docs`. You need 100 questions or more
whose passages you know; the sample that ships with the package stands for yours.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from llama_index_ko_rerank import (
    HybridRetriever,
    KoreanBM25Retriever,
    LearningToRankPostprocessor,
    SearchSystem,
    build_index,
    dataset_nodes,
    evaluate_retrieval,
    load_dataset,
    tune_search,
)
from llama_index_ko_rerank.train.tuning.search import gain_text


def main() -> None:
    """Fit on the `train` questions, and measure on the `validation` ones, which nothing was fitted on."""
    questions = load_dataset("sample", "train")
    with tempfile.TemporaryDirectory() as folder:
        index = build_index(dataset_nodes(questions), Path(folder) / "index")  # with the embedding in the wheel
        words = KoreanBM25Retriever.from_index(index, similarity_top_k=30)
        meaning = index.as_retriever(similarity_top_k=30)

        # How much words and meaning count, then whether a ranker above them helps. Each gain is measured on questions
        # held out, with a 95 % interval; a part whose gain is not certain is left out.
        fitted = tune_search(words, questions, dense=meaning)
        print(f"held-out gains over {fitted.questions} questions")
        for line in gain_text(fitted.gains):
            print(f"  {line}")
        assert fitted.fusion is not None  # there are two legs
        shares = ", ".join(f"{leg} {share:.2f}" for leg, share in fitted.fusion.weights.items())
        print(f"weights: {shares}")
        print(f"ranker: {fitted.ranker}")

        # What was found, put together. A weight of 0 means that the leg is not even asked.
        legs = {"lexical": words, "dense": meaning}
        unfitted = HybridRetriever.from_defaults(words, meaning, similarity_top_k=30)
        retriever = fitted.fusion.retriever(legs, similarity_top_k=30)
        postprocessors = []
        if fitted.ranker in ("default", "fitted"):  # the one in the wheel, or the one fitted here
            weights = "default"
            if fitted.ranker == "fitted":
                weights = str(Path(folder) / "ranker.json")
                Path(weights).write_text(fitted.fitted_ranker.to_json(), encoding="utf-8")
            ranker = LearningToRankPostprocessor.from_index(words.lexical_index, weights=weights, top_n=10)
            postprocessors.append(ranker)
        report = evaluate_retrieval(
            {"unfitted": unfitted, "fitted": SearchSystem(retriever, postprocessors)},
            load_dataset("sample", "validation"),
        )
    print()
    print(report.to_markdown())


if __name__ == "__main__":
    main()

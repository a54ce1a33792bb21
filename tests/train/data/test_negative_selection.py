"""Mining as arithmetic: figures worked by hand, and the library's own miner as a second opinion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.util import mine_hard_negatives as library_miner
from tokenizers import Tokenizer, models, pre_tokenizers

from llama_index_ko_rerank.errors import EmptyCorpus
from llama_index_ko_rerank.train.data.hard_negatives import NONE, cosines_at, mine_negatives, nearest_passages

datasets = pytest.importorskip("datasets")


def _mine(rankings, *, excluded, count=2, passages=10, seed=0, **options):
    return mine_negatives(
        [np.array(ranking) for ranking in rankings],
        excluded=excluded, count=count, passages=passages, seed=seed, **options,
    )  # fmt: skip


def test_sources_take_turns_and_a_passage_is_taken_once():
    mined = _mine([[[3, 5, 7]], [[5, 4, 6]]], excluded=[{3}], count=4)

    assert mined.positions.tolist() == [[5, 4, 7, 6]]  # 3 answers; 5 by the second source; 4; 7; 6


def test_a_candidate_above_the_ceiling_is_dropped_and_counted():
    cosines = [np.array([[0.9, 0.8, 0.7]], np.float32)]
    mined = _mine([[[1, 2, 3]]], excluded=[{0}], cosines=cosines, max_cosines=np.array([0.8], np.float32))

    assert mined.positions.tolist() == [[2, 3]]
    assert (mined.dropped, mined.sampled) == (1, 0)


def test_the_missing_ones_are_drawn_outside_what_was_passed_over():
    cosines = [np.array([[0.9, 0.9]], np.float32)]
    for seed in range(30):
        mined = _mine([[[1, 2]]], excluded=[{0}], passages=6, seed=seed, cosines=cosines, max_cosines=np.zeros(1))
        assert set(mined.positions[0].tolist()) <= {3, 4, 5}
        assert (mined.dropped, mined.sampled) == (2, 2)


def test_in_a_collection_too_small_dropped_ones_are_taken_back():
    cosines = [np.array([[0.9, 0.9]], np.float32)]
    mined = _mine([[[1, 2]]], excluded=[{0}], passages=4, count=3, cosines=cosines, max_cosines=np.zeros(1))

    assert sorted(mined.positions[0].tolist()) == [1, 2, 3]


def test_a_row_with_too_few_passages_is_refused():
    with pytest.raises(EmptyCorpus, match="2 passages that could be its negatives, and 3 are wanted"):
        _mine([[[NONE]]], excluded=[{0, 1}], passages=4, count=3)


def test_what_a_row_draws_does_not_depend_on_the_other_rows():
    both = _mine([[[NONE], [NONE]]], excluded=[{0}, {1}], passages=1000)
    first = _mine([[[NONE]]], excluded=[{0}], passages=1000)

    assert both.positions[0].tolist() == first.positions[0].tolist()
    assert _mine([[[NONE]]], excluded=[{0}], passages=1000, seed=1).positions.tolist() != first.positions.tolist()


@given(st.data())
def test_negatives_are_never_excluded_and_never_twice(data):
    passages = data.draw(st.integers(6, 40))
    rows, depth = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 8))
    index = st.integers(NONE, passages - 1)
    rankings = [
        np.array(data.draw(st.lists(st.lists(index, min_size=depth, max_size=depth), min_size=rows, max_size=rows)))
        for _ in range(2)
    ]
    excluded = [data.draw(st.sets(st.integers(0, passages - 1), max_size=3)) for _ in range(rows)]

    mined = mine_negatives(rankings, excluded=excluded, count=3, passages=passages, seed=1)

    for own, row in zip(excluded, mined.positions.tolist(), strict=True):
        assert len(set(row)) == 3
        assert own.isdisjoint(row)
        assert all(0 <= index < passages for index in row)


def test_nearest_passages_are_those_of_a_full_sort_in_whatever_blocks():
    generator = np.random.default_rng(0)
    questions, passages = (generator.normal(size=(n, 8)).astype(np.float32) for n in (40, 300))
    passages[7] = passages[200]  # a tie
    products = questions @ passages.T

    for block in (1 << 26, 900):
        positions, values = nearest_passages(questions, passages, 12, held_at_once=block)
        assert positions.tolist() == np.argsort(-products, axis=1, kind="stable")[:, :12].tolist()
        assert values == pytest.approx(np.take_along_axis(products, positions, axis=1), abs=1e-5)


def test_a_missing_candidate_has_no_cosine():
    cosines = cosines_at(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), np.array([[0, NONE], [0, 1]]))

    assert cosines.tolist() == [[1.0, -np.inf], [0.0, 1.0]]


def test_the_margin_is_the_library_s_relative_margin():
    words = ["[UNK]", *(f"w{n}" for n in range(60))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    generator = np.random.default_rng(3)
    weights = generator.normal(size=(61, 6)).astype(np.float32) + 0.8  # leaning one way, so that cosines are high
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")
    texts = [" ".join(f"w{k}" for k in generator.integers(0, 60, 3)) for _ in range(40)]
    questions = [f"{text} w{number}" for number, text in enumerate(texts[:15])]

    ours_q, ours_p = (model.encode(rows, normalize_embeddings=True) for rows in (questions, texts))
    positions, cosines = nearest_passages(ours_q, ours_p, 40)
    own = np.sum(ours_q * ours_p[:15], axis=1)
    mined = mine_negatives(
        [positions], excluded=[{row} for row in range(15)], count=3, passages=40, seed=0,
        cosines=[cosines], max_cosines=own - 0.05 * np.abs(own),
    )  # fmt: skip
    library = library_miner(
        datasets.Dataset.from_dict({"question": questions, "context": texts[:15]}), model, corpus=texts,
        num_negatives=3, relative_margin=0.05, range_max=40, output_format="n-tuple", verbose=False,
    )  # fmt: skip

    assert mined.dropped > 5
    assert len(library) == 15
    for row, theirs in enumerate(library):
        assert [texts[index] for index in mined.positions[row]] == [theirs[f"negative_{n}"] for n in (1, 2, 3)]

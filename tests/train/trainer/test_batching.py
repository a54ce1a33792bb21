"""What goes into one batch, seen through the trainer's own data loader."""

import pytest
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import BatchSamplers

from llama_index_ko_rerank.train.data.rows import read_rows
from llama_index_ko_rerank.train.models.scratch import static_model
from llama_index_ko_rerank.train.trainer.batching import NoFalseNegativesBatchSampler, SeededBatchSampler
from tests.corpora.training import notice_board

datasets = pytest.importorskip("datasets")


def _batches(columns, sampler, tmp_path, *, batch_size=8, epoch=0, seed=5):
    model = static_model(read_rows(notice_board()).texts, seed=0)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path), per_device_train_batch_size=batch_size, batch_sampler=sampler, seed=seed,
        report_to="none", use_cpu=True,
    )  # fmt: skip
    rows = datasets.Dataset.from_dict(columns)
    trainer = SentenceTransformerTrainer(model, arguments, rows, loss=None)
    loader = trainer.get_train_dataloader()
    loader.batch_sampler.set_epoch(epoch)
    return [rows[batch] for batch in loader.batch_sampler]


def test_one_context_never_sits_twice_in_a_batch(tmp_path):
    pairs = read_rows(notice_board()).pairs * 3  # six questions a context
    columns = {"question": [f"{i} {p.question}" for i, p in enumerate(pairs)], "context": [p.context for p in pairs]}

    batches = _batches(columns, BatchSamplers.NO_DUPLICATES, tmp_path)

    assert sum(len(batch["context"]) for batch in batches) == len(pairs)
    assert all(len(set(batch["context"])) == len(batch["context"]) for batch in batches)


def test_every_row_is_in_one_batch_of_an_epoch(tmp_path):
    columns = {"question": [f"{n}" for n in range(29)], "context": [f"글 {n}" for n in range(29)]}

    batches = _batches(columns, SeededBatchSampler, tmp_path)

    assert sorted(len(batch["question"]) for batch in batches) == [5, 8, 8, 8]
    assert sorted(int(text) for batch in batches for text in batch["question"]) == list(range(29))


def test_seed_and_epoch_alone_decide_the_order(tmp_path):
    columns = {"question": [f"{n}" for n in range(29)], "context": [f"글 {n}" for n in range(29)]}

    third = _batches(columns, SeededBatchSampler, tmp_path, epoch=3)

    assert _batches(columns, SeededBatchSampler, tmp_path, epoch=3) == third
    assert _batches(columns, SeededBatchSampler, tmp_path, epoch=2) != third
    assert _batches(columns, SeededBatchSampler, tmp_path, epoch=3, seed=6) != third


def test_rows_of_like_length_share_a_batch_in_no_order_of_length(tmp_path):
    columns = {"question": ["물" * (1 + n * 37 % 64) for n in range(64)], "context": ["글"] * 64}

    batches = _batches(columns, SeededBatchSampler, tmp_path)

    longest = [max(map(len, batch["question"])) for batch in batches]
    assert all(max(map(len, batch["question"])) - min(map(len, batch["question"])) == 7 for batch in batches)
    assert longest != sorted(longest)


def _apart_columns(contexts=20):
    """Two questions a context; the hard negatives of each are the next two contexts."""
    rows = [(f"질문 {k} {n}", n) for n in range(contexts) for k in range(2)]
    return {
        "question": [question for question, _ in rows],
        "context": [f"글 {n}" for _, n in rows],
        "negative_1": [f"글 {(n + 1) % contexts}" for _, n in rows],
        "negative_2": [f"글 {(n + 2) % contexts}" for _, n in rows],
    }


def test_no_context_stands_beside_a_row_that_has_it_as_a_negative(tmp_path):
    for batch in _batches(_apart_columns(), NoFalseNegativesBatchSampler, tmp_path, batch_size=6):
        assert len(set(batch["context"])) == len(batch["context"])
        assert not set(batch["context"]) & {*batch["negative_1"], *batch["negative_2"]}


def test_rows_that_can_be_kept_apart_all_find_a_batch(tmp_path):
    batches = _batches(_apart_columns(), NoFalseNegativesBatchSampler, tmp_path, batch_size=4)

    assert len(batches) == 10
    assert sum(len(batch["question"]) for batch in batches) >= 36  # of 40; the last batches are hard to fill


def test_apart_batches_are_decided_by_seed_and_epoch_and_are_as_many_as_promised(tmp_path):
    first = _batches(_apart_columns(), NoFalseNegativesBatchSampler, tmp_path, epoch=1)

    assert _batches(_apart_columns(), NoFalseNegativesBatchSampler, tmp_path, epoch=1) == first
    assert _batches(_apart_columns(), NoFalseNegativesBatchSampler, tmp_path, epoch=2) != first
    assert len(first) == 5
    assert all(batch["question"] for batch in first)


def test_a_context_that_all_rows_share_leaves_one_row_to_a_batch(tmp_path):
    columns = {"question": [f"{n}" for n in range(9)], "context": ["글"] * 9}

    batches = _batches(columns, NoFalseNegativesBatchSampler, tmp_path, batch_size=4)

    assert [len(batch["question"]) for batch in batches] == [1, 1, 1]

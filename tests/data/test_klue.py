import copy
import json
import shutil

import datasets
import pytest

from llama_index_ko_rerank.data import available_splits, load_dataset, load_pair_dataset
from llama_index_ko_rerank.errors import DatasetUnavailable, EmptyCorpus, MalformedData, UnknownDataset

REVISION = "349481ec73fff722f88e0453ca05c77a447d967c"


def flat(document):
    """Lay out a benchmark document as the hub does: a row a question, plausible answers where it is impossible."""
    return [
        {
            "title": article["title"],
            "context": paragraph["context"],
            "news_category": article["news_category"],
            "source": article["source"],
            "guid": qa["guid"],
            "is_impossible": qa["is_impossible"],
            "question_type": qa["question_type"],
            "question": qa["question"],
            "answers": {
                field: [answer[field] for answer in qa.get("plausible_answers", qa["answers"])]
                for field in ("answer_start", "text")
            },
        }
        for article in document["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]


def sts_row(number, label):
    return {
        "guid": f"klue-sts-v1_dev_{number:05d}",
        "source": "made for the test",
        "sentence1": f"문장 {number}입니다.",
        "sentence2": "다른 문장입니다.",
        "labels": {"label": label, "real-label": label, "binary-label": int(label >= 3)},
    }


@pytest.fixture
def hub(monkeypatch):
    """Put rows, or an error, where the network is; list what was asked of it."""
    asked = []

    def connect(answer):
        def load(name, config=None, *, revision=None, split=None):
            asked.append((name, config, revision, split))
            if isinstance(answer, Exception):
                raise answer
            return datasets.Dataset.from_list(answer)

        monkeypatch.setattr(datasets, "load_dataset", load)
        return asked

    return connect


def content(dataset):
    return dataset.passages, dataset.questions


def test_the_benchmark_file_gives_its_contexts_and_possible_questions(write_json, weather, contexts):
    dataset = load_dataset(f"klue-mrc:{write_json('klue-mrc-v1.1_train.json', weather)}")
    assert dataset.split == "train"
    assert [(passage.text, passage.title) for passage in dataset.passages] == [
        (contexts["rain"], "날씨"),
        (contexts["snow"], "날씨"),
        (contexts["leave"], "사내 규정"),
    ]
    assert [(question.id, question.passage_ids, question.answers) for question in dataset.questions] == [
        ("g0", ("p00000",), ("6월 말",)),
        ("g1", ("p00001",), ("산간",)),
        ("g2", ("p00002",), ("팀장",)),
    ]


def test_every_form_of_klue_mrc_gives_the_same_data_set(write_json, write_parquet, weather, tmp_path, hub):
    write_json("benchmark/klue-mrc-v1.1_train.json", weather)
    write_parquet("clone/mrc/train-00000-of-00001.parquet", flat(weather))
    write_parquet("config/train-00000-of-00002.parquet", flat(weather)[:2])
    write_parquet("config/train-00001-of-00002.parquet", flat(weather)[2:])
    write_parquet("single/klue.parquet", flat(weather))
    hub(flat(weather))
    forms = ["klue-mrc"] + [
        f"klue-mrc:{tmp_path / name}" for name in ("benchmark", "clone", "config", "single/klue.parquet")
    ]
    loaded = [content(load_dataset(spec, "train")) for spec in forms]
    assert len(loaded[0][1]) == 3
    assert all(one == loaded[0] for one in loaded)


def test_the_collection_of_a_split_is_its_own_contexts(write_json, nest, ask, weather, tmp_path, contexts):
    write_json("klue-mrc-v1.1_train.json", weather)
    write_json("klue-mrc-v1.1_dev.json", nest(("출장", [(contexts["trip"], [ask("d0", "언제까지 내나?")])])))
    spec = f"klue-mrc:{tmp_path}"
    assert available_splits(spec) == ("train", "validation")
    assert [passage.text for passage in load_dataset(spec, "validation").passages] == [contexts["trip"]]
    assert load_dataset(spec).split == "train"


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("klue-mrc-v1.1_train.json", "train"),
        ("klue-mrc-v1.1_dev.json", "validation"),
        ("validation.json", "validation"),
        ("mine.json", "train"),
        ("trainees.json", "train"),
        ("developers.json", "train"),
    ],
)
def test_a_single_file_is_the_split_that_its_name_says(write_json, weather, name, split):
    spec = f"klue-mrc:{write_json(name, weather)}"
    assert available_splits(spec) == (split,)
    assert load_dataset(spec).split == split


def test_the_other_split_of_a_single_file_does_not_exist(write_json, weather):
    with pytest.raises(UnknownDataset, match="has no split 'train'; known: validation"):
        load_dataset(f"klue-mrc:{write_json('klue-mrc-v1.1_dev.json', weather)}", "train")


def test_the_benchmark_file_is_preferred_to_parquet_and_splits_are_found_one_by_one(
    write_json, write_parquet, weather, tmp_path
):
    write_json("klue-mrc-v1.1_train.json", weather)
    write_parquet("train-00000-of-00001.parquet", flat(weather)[:1])
    write_parquet("mrc/validation.parquet", flat(weather)[:1])
    spec = f"klue-mrc:{tmp_path}"
    assert [len(load_dataset(spec, split).questions) for split in ("train", "validation")] == [3, 1]


def test_a_folder_with_no_klue_file_says_which_were_looked_for(tmp_path):
    with pytest.raises(DatasetUnavailable, match=r"klue-mrc-v1\.1_train\.json.*validation-\*\.parquet.*mrc/"):
        load_dataset(f"klue-mrc:{tmp_path}")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("context", 5, r"row \[1\], field 'context': must be a string, not a number"),
        ("question", None, r"row \[1\], field 'question': must be a string, not null"),
        ("guid", None, "field 'guid': must be a string"),
        ("guid", "g0", "field 'guid': 'g0' stands for another question"),
        ("is_impossible", None, "field 'is_impossible': must be true or false, not null"),
        ("answers", None, "field 'answers': must be an object, not null"),
        ("answers", {"text": ["a"], "answer_start": []}, "field 'answer_start': has 0 values for 1 of 'text'"),
        (
            "answers",
            {"text": ["a"], "answer_start": [999]},
            r"row \[1\]\.answers\[0\], field 'answer_start': 999 is outside",
        ),
        ("answers", {"text": [None], "answer_start": [0]}, r"answers\[0\], field 'text': must be a string, not null"),
    ],
)
def test_a_malformed_row_of_the_hub_names_its_place(weather, monkeypatch, field, value, message):
    rows = copy.deepcopy(flat(weather))
    rows[1][field] = value
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: rows)
    with pytest.raises(MalformedData, match=f"^klue/klue mrc train, .*{message}"):
        load_dataset("klue-mrc", "train")


def test_a_malformed_parquet_row_names_its_file(write_parquet, weather):
    rows = [{key: value for key, value in row.items() if key != "context"} for row in flat(weather)]
    with pytest.raises(
        MalformedData, match=r"train\.parquet, row \[0\], field 'context': missing; the row has title, "
    ):
        load_dataset(f"klue-mrc:{write_parquet('train.parquet', rows)}")


def test_the_hub_is_asked_for_the_pinned_revision_of_one_split(hub, weather):
    asked = hub(flat(weather))
    load_dataset("klue-mrc", "validation")
    assert asked == [("klue/klue", "mrc", REVISION, "validation")]
    asked = hub([sts_row(0, 2.5)])
    load_pair_dataset("klue-sts", "validation")
    assert asked[-1] == ("klue/klue", "sts", REVISION, "validation")


def test_the_splits_of_a_hub_set_are_known_without_the_hub(hub):
    asked = hub(AssertionError("the hub was asked"))
    assert available_splits("klue-mrc") == available_splits("klue-sts") == ("train", "validation")
    assert asked == []


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("Couldn't reach 'klue/klue' on the Hub (OfflineModeIsEnabled)\nand a second line"),
        ValueError("Couldn't find cache for klue/klue for config 'mrc'"),
        datasets.exceptions.DatasetNotFoundError("Dataset 'klue/klue' doesn't exist on the Hub or cannot be accessed."),
        datasets.exceptions.DatasetGenerationError(""),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize(("task", "load"), [("mrc", load_dataset), ("sts", load_pair_dataset)])
def test_with_no_network_one_line_says_what_was_tried_and_which_local_form_works(hub, error, task, load):
    hub(error)
    with pytest.raises(
        DatasetUnavailable, match=f"klue-{task}: tried klue/klue .*349481ec.* use klue-{task}:PATH"
    ) as caught:
        load(f"klue-{task}")
    assert "\n" not in str(caught.value)
    assert type(error).__name__ in str(caught.value)


def test_offline_mode_is_unavailable_without_a_mock(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(DatasetUnavailable, match=r"OfflineModeIsEnabled.*klue-sts:PATH"):
        load_pair_dataset("klue-sts")


def test_sts_labels_are_divided_by_five_in_every_form(write_json, write_parquet, tmp_path, hub):
    rows = [sts_row(0, 0.0), sts_row(1, 5.0), sts_row(2, 3.7)]
    write_json("benchmark/klue-sts-v1.1_dev.json", rows)
    write_parquet("clone/sts/validation-00000-of-00001.parquet", rows)
    hub(rows)
    for spec in ("klue-sts", f"klue-sts:{tmp_path / 'benchmark'}", f"klue-sts:{tmp_path / 'clone'}"):
        dataset = load_pair_dataset(spec, "validation")
        assert [pair.label for pair in dataset.pairs] == pytest.approx([0.0, 1.0, 0.74])
        assert dataset.pairs[1].sentence1 == "문장 1입니다."
        assert (dataset.name, dataset.split) == (spec, "validation")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, r"row \[1\], field 'labels': must be an object, not null"),
        ({"real-label": 3.1}, r"row \[1\]\.labels, field 'label': missing; the row has real-label"),
        ({"label": "3"}, r"row \[1\]\.labels, field 'label': must be a number, not a string"),
        ({"label": 5.1}, r"field 'label': must be in 0-5, not 5\.1"),
        ({"label": -0.1}, "must be in 0-5"),
    ],
)
def test_a_malformed_sts_label_names_file_row_and_field(write_json, labels, message):
    rows = [sts_row(0, 1.0), {**sts_row(1, 1.0), "labels": labels}]
    with pytest.raises(MalformedData, match=f"klue-sts-v1.1_dev.json, .*{message}"):
        load_pair_dataset(f"klue-sts:{write_json('klue-sts-v1.1_dev.json', rows)}")


def test_an_empty_hub_split_is_an_empty_corpus(hub):
    hub([])
    for load, spec in ((load_dataset, "klue-mrc"), (load_pair_dataset, "klue-sts")):
        with pytest.raises(EmptyCorpus, match=f"{spec} holds nothing"):
            load(spec)


def test_klue_sts_dev_loads_with_its_519_pairs(shared_data, tmp_path):
    file = shared_data / "klue" / "klue-sts-v1.1_dev.json"
    dataset = load_pair_dataset(f"klue-sts:{shared_data / 'klue'}")
    assert (dataset.split, len(dataset.pairs)) == ("validation", 519)
    raw = json.loads(file.read_text(encoding="utf-8"))
    assert [pair.label * 5 for pair in dataset.pairs] == pytest.approx([row["labels"]["label"] for row in raw])
    shutil.copy(file, tmp_path / "renamed.json")
    assert load_pair_dataset(f"klue-sts:{tmp_path / 'renamed.json'}").pairs == dataset.pairs


@pytest.mark.network
@pytest.mark.parametrize(("split", "questions", "sentences"), [("train", 17_554, 11_668), ("validation", 5_841, 519)])
def test_the_hub_has_the_rows_that_its_page_counts(split, questions, sentences):
    mrc = load_dataset("klue-mrc", split)
    assert 0 < len(mrc.questions) < questions  # the rest is impossible
    assert len(load_pair_dataset("klue-sts", split).pairs) == sentences

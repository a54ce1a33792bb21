import subprocess
import sys

import pytest

from llama_index_ko_rerank.data import available_splits, dataset_kind, load_dataset, load_pair_dataset
from llama_index_ko_rerank.errors import DatasetUnavailable, KoRerankError, UnknownDataset

EVERY_DOOR = [load_dataset, load_pair_dataset, available_splits, dataset_kind]


@pytest.mark.parametrize("door", EVERY_DOOR)
def test_an_unknown_name_hints_at_the_nearest_one(door):
    with pytest.raises(UnknownDataset, match="no data set is called 'klue-mcr'; did you mean 'klue-mrc'"):
        door("klue-mcr")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "no data set is called ''; known: klue-mrc, klue-sts, pairs, sample, squad"),
        ("squad", "'squad' names no file; write squad:PATH"),
        ("pairs:", "'pairs:' names no file; write pairs:PATH"),
        ("klue-mrc:", "'klue-mrc:' names no file; write klue-mrc:PATH"),
        ("sample:a.json", "'sample' takes no path"),
        ("a.json", "no data set is called 'a.json'"),
    ],
)
def test_a_spec_that_cannot_be_read_says_how_to_write_it(spec, message):
    with pytest.raises(UnknownDataset, match=message):
        load_dataset(spec)


@pytest.mark.parametrize("door", EVERY_DOOR)
@pytest.mark.parametrize("name", ["squad", "pairs", "klue-mrc", "klue-sts"])
@pytest.mark.parametrize("place", ["missing/file.json", "x" * 5000, "nul\0"])
def test_a_path_that_is_not_there_is_unavailable(door, name, place):
    with pytest.raises(DatasetUnavailable, match="cannot be opened from"):
        door(f"{name}:{place}")


def test_a_folder_where_a_file_is_needed_is_unavailable(tmp_path):
    for spec in (f"squad:{tmp_path}", f"pairs:{tmp_path}"):
        with pytest.raises(DatasetUnavailable, match="cannot be read: IsADirectoryError"):
            load_dataset(spec)


def test_the_home_folder_may_be_written_short(monkeypatch, tmp_path, write_lines):
    write_lines({"context": "글"})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load_dataset("pairs:~/pairs.jsonl").name == "pairs:~/pairs.jsonl"


def test_a_path_may_hold_colons_and_hangul(write_lines):
    assert available_splits(f"pairs:{write_lines({'context': '글'}, name='내:글.jsonl')}") == ("all",)


def test_a_set_of_the_other_kind_is_refused_before_the_hub_is_asked(monkeypatch):
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", None)
    with pytest.raises(UnknownDataset, match="'klue-sts' holds labelled sentence pairs"):
        load_dataset("klue-sts")
    with pytest.raises(UnknownDataset, match="'klue-mrc' holds questions with passages"):
        load_pair_dataset("klue-mrc")


def test_an_unknown_split_is_refused_before_the_hub_is_asked(monkeypatch):
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", None)
    with pytest.raises(UnknownDataset, match="'klue-mrc' has no split 'dev'; known: train, validation"):
        load_dataset("klue-mrc", "dev")


def test_every_error_of_this_room_is_one_of_the_package_and_of_python():
    with pytest.raises(KoRerankError):
        load_dataset("nothing")
    with pytest.raises(ValueError, match="nothing"):
        load_dataset("nothing")
    with pytest.raises(OSError, match="missing"):
        load_dataset("squad:missing")


def test_the_room_is_imported_without_heavy_libraries():
    code = (
        "import sys, llama_index_ko_rerank.data\n"
        "sys.exit(','.join({'torch', 'datasets', 'pyarrow', 'kiwipiepy', 'faiss', 'httpx'} & set(sys.modules)) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")

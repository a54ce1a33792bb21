from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.embed.tiny_models import save_bert, save_decoder, save_sentence_model, save_static_model


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models gain nothing from more threads, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def bert_folder(models_folder: Path) -> Path:
    return save_bert(models_folder / "bert")


@pytest.fixture(scope="session")
def mean_folder(models_folder: Path) -> Path:
    prompts = {"query": "query: ", "passage": "passage: "}
    return save_sentence_model(models_folder / "mean", pooling="mean", prompts=prompts)


@pytest.fixture(scope="session")
def static_folder(models_folder: Path) -> Path:
    return save_static_model(models_folder / "static")


@pytest.fixture(scope="session", params=["left", "right"])
def decoder_folder(models_folder: Path, request: pytest.FixtureRequest) -> Path:
    return save_decoder(models_folder / f"decoder-{request.param}", padding_side=request.param)

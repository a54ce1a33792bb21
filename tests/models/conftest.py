from importlib.metadata import PackageNotFoundError, distribution

import pytest

from llama_index_ko_rerank.models.e5_file import E5File
from llama_index_ko_rerank.models.pretrained import E5_SMALL, find_data_file, load_pretrained_embedding


@pytest.fixture(scope="session")
def data_file():
    """The installed data file; there is none on platforms that the distribution was not built for."""
    try:
        distribution(E5_SMALL.distribution)
    except PackageNotFoundError:
        pytest.skip(f"{E5_SMALL.distribution} is not installed on this platform")
    return find_data_file()


@pytest.fixture(scope="session")
def e5_file(data_file):
    return E5File(data_file)


@pytest.fixture(scope="session")
def e5_model(data_file):
    return load_pretrained_embedding()

"""`ko-rerank index`: make a collection that can be searched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llama_index_ko_rerank.cli.screen import configure, output
from llama_index_ko_rerank.cli.train import DATA
from llama_index_ko_rerank.errors import DatasetUnavailable, EmptyCorpus, InvalidSetting, MalformedData

if TYPE_CHECKING:
    from llama_index.core.schema import Document, TextNode

SUFFIXES = (".txt", ".md")


def index(
    folder: Annotated[Path, typer.Argument(help="The folder of the collection.")],
    embed_model: Annotated[str, typer.Option(help="A catalog name, a hub name, or the folder of an embedding model.")],
    source: Annotated[list[Path] | None, typer.Option(help="Text or Markdown files, or folders of them.")] = None,
    data: Annotated[str | None, typer.Option(help=f"The passages of a data set: {DATA}.")] = None,
    rerank_model: Annotated[str | None, typer.Option(help="A cross-encoder to reorder what is found.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a collection that is there.")] = False,
) -> None:
    """Index files or a data set into FOLDER, for `ko-rerank search` and `open_collection`."""
    configure()
    if bool(source) == bool(data):
        raise InvalidSetting("name what to index: either --source with files or folders, or --data with a data set")
    from llama_index_ko_rerank.answer.collection import CollectionSettings, index_folder, write_settings
    from llama_index_ko_rerank.embed import KoreanEmbedding
    from llama_index_ko_rerank.store import DurableFaissVectorStore, build_index

    items = _read_files(source) if source else _read_dataset(data or "")
    model = KoreanEmbedding(embed_model)
    place = index_folder(folder)
    build_index(items, place, embed_model=model, overwrite=overwrite, show_progress=output.is_terminal)
    write_settings(folder, CollectionSettings(embed_model, rerank_model))
    with DurableFaissVectorStore(place, create=False) as store:
        output.print(f"{store.count} passages of {len(items)} documents are in [bold]{folder}[/]")


def _read_dataset(data: str) -> list[TextNode]:
    from llama_index_ko_rerank.data import dataset_nodes, load_dataset

    return dataset_nodes(load_dataset(data))


def _read_files(sources: list[Path]) -> list[Document]:
    from llama_index.core.schema import Document

    documents = []
    for path in _files(sources):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as problem:
            raise MalformedData(
                f"{path} is not UTF-8 ({problem.reason} at byte {problem.start}); convert it"
            ) from problem
        metadata = {"file_name": path.name}
        documents.append(Document(id_=str(path), text=text, metadata=metadata))
    return documents


def _files(sources: list[Path]) -> list[Path]:
    found: list[Path] = []
    for source in sources:
        if source.is_dir():
            found += sorted(path for path in source.rglob("*") if path.suffix in SUFFIXES and path.is_file())
        elif source.is_file():
            found.append(source)
        else:
            raise DatasetUnavailable(f"there is no file or folder {str(source)!r}")
    if not found:
        raise EmptyCorpus(f"no {' or '.join(SUFFIXES)} file is in {', '.join(str(source) for source in sources)}")
    return list(dict.fromkeys(found))

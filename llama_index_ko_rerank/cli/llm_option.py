"""The options `--llm` and `--llm-model`, which several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llama_index_ko_rerank.errors import InvalidSetting

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

LlmUrl = Annotated[
    str | None,
    typer.Option(
        "--llm",
        metavar="URL",
        help="An OpenAI-compatible server that writes the answer, such as http://localhost:11434/v1; "
        "its key is read from KO_RERANK_LLM_API_KEY. Without it, answers are sentences copied from the sources.",
    ),
]
LlmModel = Annotated[
    str | None, typer.Option("--llm-model", metavar="NAME", help="The name of the model on that server.")
]


def llm_of(url: str | None, model: str | None) -> LLM | None:
    """Return the LLM that the two options name, None where neither was given.

    Raises:
        InvalidSetting: Only one of the two was given, or one cannot be used.
        MissingExtra: ``llama-index-llms-openai-like`` is not installed.
    """
    if url is None and model is None:
        return None
    if url is None or model is None:
        missing, given = ("--llm URL", "--llm-model") if url is None else ("--llm-model NAME", "--llm")
        raise InvalidSetting(f"{given} was given without {missing}; an answer by an LLM needs both")
    from llama_index_ko_rerank.answer.llm import connect_llm

    return connect_llm(url, model)

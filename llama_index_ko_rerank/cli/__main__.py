"""Lets `python -m llama_index_ko_rerank.cli` do what `ko-rerank` does."""

from llama_index_ko_rerank.cli import main

main()

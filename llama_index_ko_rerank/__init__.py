"""Korean retrieval and reranking for LlamaIndex."""

"""First-stage retrieval: Korean BM25, fusion, and the hybrid of any retrievers."""

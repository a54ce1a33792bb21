"""faiss room."""

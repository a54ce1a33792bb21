"""The chat page: a core that knows nothing of browsers, and a gradio page over it."""

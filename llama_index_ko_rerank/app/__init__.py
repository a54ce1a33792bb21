"""Chat page: a core that knows nothing of browsers, and a gradio page over it."""

from __future__ import annotations

import os

from llama_index_ko_rerank.extras import require

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read by gradio when it is imported and when a page is made


def require_chat() -> None:
    """Make sure that gradio is installed.

    Raises:
        MissingExtra: It is not.
    """
    require("chat", "gradio", needed_for="the chat page")

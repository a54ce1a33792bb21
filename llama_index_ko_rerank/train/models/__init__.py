"""Starting models: from disk or the hub, from nothing, with adapters."""

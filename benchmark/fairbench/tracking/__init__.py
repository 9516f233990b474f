"""Watching runs while they go: one small protocol, adapters for what people watch with, nothing unless asked for.

No adapter is imported before it is named, and none can change or stop a run.
"""

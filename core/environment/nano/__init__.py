"""Nano: a code-writing world small enough for one core, in which reward hacking emerges under GRPO (docs/nano.md)."""

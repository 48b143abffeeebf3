"""Audits of a trained adapter; none is built yet (docs/design.md)."""

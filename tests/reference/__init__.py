"""Slow references written from the papers' equations, for tests only."""

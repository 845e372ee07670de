"""Packaged recipes: TOML files that say how to train a model. Data only; `prefcast.pipeline` reads them."""

__all__: list[str] = []

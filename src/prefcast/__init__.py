"""Forecast which of two chatbot answers people will prefer."""

__version__ = "0.1.0.dev0"

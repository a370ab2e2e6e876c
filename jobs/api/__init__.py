from .app import api

__all__ = ["api"]

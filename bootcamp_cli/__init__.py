"""Evaluation runner for the verifiable reasoning tasks of InternBootcamp."""

__version__ = "0.1.0"

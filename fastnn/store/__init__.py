"""Weights out and in: file formats."""

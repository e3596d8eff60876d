"""The version: a module of its own, as those that show it are imported by the package that has it."""

__version__ = "0.1.0"

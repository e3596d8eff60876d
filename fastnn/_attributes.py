"""Attributes of objects: which are shown, and what is said of one that is not there."""

from __future__ import annotations

from typing import Any

from fastnn import _names

# What objects have for fastnn's own use, beside what one asks of them: `dir` leaves it out.
_HOUSE = """
    abstract accepts accumulator_numbers adds areas arrays as_activation bad_targets between by_column by_row checks
    compiled curve_counts cuts description enter figure fit_begins from_members from_tensors full_batch fused kernel_for
    kinds_read label_weights last listens logits made_of_layers measured numbers on_arguments on_arrays output_dtype
    own_config parts pauses rates reads_targets reported result_of rule slot_starts state_size table_family
    table_name takes trainer_hooks value_and_gradient whole whole_batch width
    """
HOUSE = frozenset(_HOUSE.split())


def public_names(value: Any) -> list[str]:
    """What ``dir`` gives of an object, for the completion of names."""
    return sorted(set(object.__dir__(value)) - HOUSE)


class MissingAttribute(AttributeError):
    """An attribute that an object has not: what to write in its place is worked out when somebody reads the error."""

    def __init__(self, owner: Any, name: str) -> None:
        super().__init__(name=name)
        self.owner = owner

    def __str__(self) -> str:
        from fastnn import _old

        kind = type(self.owner).__name__
        old = _old.ATTRIBUTES.get(str(self.name))
        known = [name for name in public_names(self.owner) if not name.startswith("_")]
        what = f" (write {old})" if old else _names.hint(self.name, known)
        return f"{kind!r} has no attribute {self.name!r}{what}"

    def __reduce__(self) -> Any:
        return AttributeError, (str(self),)


MissingAttribute.__name__ = MissingAttribute.__qualname__ = "AttributeError"  # as it is shown
MissingAttribute.__module__ = "builtins"


def missing(owner: Any, name: str) -> Any:
    """``__getattr__`` of models, layers, optimizers and histories."""
    # A property of the user's own raised it: so it does again. (`dir` of a class takes ten times as long.)
    if name.startswith("_") or hasattr(type(owner), name):
        return object.__getattribute__(owner, name)
    raise MissingAttribute(owner, name)

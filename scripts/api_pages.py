"""Write docs/api/*.md, docs/tables.md and the README's counts from the docstrings and tables of the code.

    python scripts/api_pages.py

One page for each module of MODULES, and one table for each family of units. tests/test_docs.py sees that the files in
the repository are what this script gives.
"""

import importlib
import inspect
import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import fastnn
from fastnn._table import TABLES
from fastnn.callbacks import Callback, CallbackList

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
MODULES = [
    "fastnn",
    "fastnn.models",
    "fastnn.models.feature_space",
    "fastnn.models.groups",
    "fastnn.layers",
    "fastnn.layers.composite",
    "fastnn.layers.python",
    "fastnn.activations",
    "fastnn.losses",
    "fastnn.metrics",
    "fastnn.optimizers",
    "fastnn.optimizers.schedules",
    "fastnn.callbacks",
    "fastnn.initializers",
    "fastnn.regularizers",
    "fastnn.constraints",
    "fastnn.data",
    "fastnn.data.digits",
    "fastnn.model_selection",
    "fastnn.uncertainty",
    "fastnn.exchange",
    "fastnn.distributed",
    "fastnn.zoo",
    "fastnn.applications",
    "fastnn.compress",
    "fastnn.explain",
    "fastnn.report",
    "fastnn.registry",
    "fastnn.mlflow",
    "fastnn.hub",
    "fastnn.dask",
    "fastnn.ray",
    "fastnn.serve",
    "fastnn.serve.drift",
    "fastnn.serve.monitor",
    "fastnn.linear",
    "fastnn.plot",
    "fastnn.ops",
    "fastnn.random",
    "fastnn.utils",
    "fastnn.datasets.boston_housing",
    "fastnn.datasets.california_housing",
    "fastnn.datasets.cifar10",
    "fastnn.datasets.cifar100",
    "fastnn.datasets.diamonds",
    "fastnn.datasets.digits",
    "fastnn.datasets.fashion_mnist",
    "fastnn.datasets.imdb",
    "fastnn.datasets.mnist",
    "fastnn.datasets.penguins",
    "fastnn.datasets.reuters",
    "fastnn.saving",
    "fastnn.object_registration",
    "fastnn.serialization",
    "fastnn.config",
    "fastnn.backend",
]
# Those that need another package; where it is not here, their pages stay as they are.
OPTIONAL = {"fastnn.sklearn": "sklearn", "fastnn.wrappers": "sklearn", "fastnn.spark": "pyspark"}
MODULES += [name for name, needed in OPTIONAL.items() if find_spec(needed)]
FAMILIES = {
    "layer": "Layers",
    "activation": "Activations",
    "loss": "Losses",
    "metric": "Metrics",
    "optimizer": "Optimizers",
    "schedule": "Learning-rate schedules",
    "initializer": "Initialisers",
    "regularizer": "Regularisers",
    "constraint": "Constraints",
}
NOTE = "<!-- written by scripts/api_pages.py; do not edit -->\n"
MARKUP = re.compile(r"[*|\\]|(?<!\w)_|<(?=[\w/!?])|(?<=\])(?=\()|~(?=~)")
LINE = re.compile(r"^(?=[+>#])")
WIDTH = 100  # a longer signature gets a line for each argument


def public_names(module: ModuleType) -> list[str]:
    """What a module offers: its ``__all__``, or what is defined in it."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return [name for name in listed if not isinstance(getattr(module, name), ModuleType)]
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__)
    return sorted(name for name in own if not name.startswith("_"))


def docstring(value: Any) -> str:
    """A docstring without the signature that Cython writes above it."""
    text = inspect.getdoc(value) or ""
    name = getattr(value, "__name__", "")
    return text.partition("\n\n")[2] if name and text.startswith(f"{name}(") and "->" in text else text


def markdown(text: str) -> str:
    """A docstring as Markdown: what would be markup is escaped, names in backticks and indented lines are code."""
    lines = (line if line.startswith("    ") else prose(line) for line in text.splitlines())
    return "\n".join(lines)


def prose(line: str) -> str:
    """One line of text; formulas keep their stars, bars and angle brackets."""
    parts = []
    for number, part in enumerate(re.split(r"(``.+?``|`.+?`)", line)):
        parts.append(f"`{part.strip('`')}`" if number % 2 else MARKUP.sub(r"\\\g<0>", part))
    return LINE.sub(r"\\\g<0>", "".join(parts))


def signature(name: str, value: Any) -> str:
    """How something is called, as Python code."""
    if isinstance(value, type) and issubclass(value, BaseException):  # Python's own constructor, which has none
        return f"{name}(message)"
    found = inspect.signature(value)
    arguments = listed(found)
    result = "" if isinstance(value, type) else typed(found.return_annotation)
    end = f" -> {result}" if result else ""
    line = f"{name}({', '.join(arguments)}){end}"
    if len(line) <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {each},\n" for each in arguments) + f"){end}"


def listed(found: inspect.Signature) -> list[str]:
    """The parameters, without self, and with the star that stands before those by keyword alone."""
    parameters = [p for p in found.parameters.values() if p.name != "self"]
    texts = [declared(p) for p in parameters]
    kinds = [p.kind for p in parameters]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        texts.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    return texts


def declared(parameter: inspect.Parameter) -> str:
    """An argument with its type and default."""
    name, annotation = str(parameter).split(":")[0].split("=")[0].strip(), typed(parameter.annotation)
    if parameter.default is parameter.empty:
        return f"{name}: {annotation}" if annotation else name
    return f"{name}: {annotation} = {parameter.default!r}" if annotation else f"{name}={parameter.default!r}"


def typed(annotation: Any) -> str:
    """A type as it is written in the code, where that is known."""
    if annotation is inspect.Signature.empty or annotation is None:
        return ""
    text = getattr(annotation, "__forward_arg__", annotation)
    return text if isinstance(text, str) else inspect.formatannotation(text)


def home_of(value: Any) -> str:
    """The module on whose page a class or function stands."""
    module = value.__module__.replace("fastnn.databases", "fastnn.data")  # which offers what users need of it
    return max((m for m in MODULES if f"{module}.".startswith(f"{m}.")), key=len)


def is_object(value: Any) -> bool:
    """Whether it is an object, such as ``activations.relu``, rather than a class or a function."""
    return not (isinstance(value, type) or hasattr(value, "__name__"))


def entry(name: str, value: Any) -> str:
    """What a page says of one name."""
    parts = [f"## {name}\n\n```python\n{signature(name, value)}\n```\n\n{markdown(docstring(value))}\n"]
    if hasattr(value, "takes") and hasattr(value, "table_name") and targets(value):
        parts.append(f"Targets: {targets(value)}.\n")
    if isinstance(value, type):
        for base in hidden_bases(value):
            if base.__name__ in docstring(value):  # "arguments: see Monitor"
                parts.append(f"From `{base.__name__}`: {markdown(docstring(base))}\n")
        parts += [member(name, *each) for each in members(value)]
    return "\n".join(parts)


def hidden_bases(cls: type) -> list[type]:
    """The bases that no page describes: neither their own nor that of another base."""
    bases = [base for base in cls.__mro__[1:] if base.__module__.startswith("fastnn.")]
    known = {base for each in bases if each.__name__ in PAGED for base in each.__mro__}
    return [base for base in bases if base not in known]


def members(cls: type) -> list[tuple[str, Any]]:
    """The methods and properties of a class and its hidden bases that say something which no page says yet."""
    hidden = hidden_bases(cls)
    said = {unwrapped(value).__doc__ for base in cls.__mro__[1:] if base not in hidden for value in vars(base).values()}
    said.add(None)
    found: dict[str, Any] = {}
    for each in (*reversed(hidden), cls):
        found.update({name: value for name, value in vars(each).items() if not name.startswith("_")})
    return [(name, value) for name, value in found.items() if is_method(value) and unwrapped(value).__doc__ not in said]


def is_method(value: Any) -> bool:
    """Whether it is a method or a property."""
    return inspect.isfunction(unwrapped(value)) or isinstance(value, property)


def unwrapped(value: Any) -> Any:
    """The function in a class method or static method."""
    return getattr(value, "__func__", getattr(value, "fn", value))  # or what scikit-learn shows under a condition


def member(owner: str, name: str, value: Any) -> str:
    """What a page says of a method or property."""
    shown = name if isinstance(value, property) else signature(name, unwrapped(value))
    return f"### {owner}.{name}\n\n```python\n{shown}\n```\n\n{markdown(docstring(unwrapped(value)))}\n"


PAGED = {name for module in MODULES for name in public_names(importlib.import_module(module))}


def page(module: ModuleType) -> str:
    """A module's page: the classes and functions that have no page elsewhere, and links to the others."""
    found = {name: getattr(module, name) for name in public_names(module)}
    objects = [name for name, value in found.items() if is_object(value)]
    here = [name for name in found if name not in objects and home_of(found[name]) == module.__name__]
    links, slugs = [], [name.lower() for name in here]
    for name in found:
        if name in here:
            again = slugs[: here.index(name)].count(name.lower())
            links.append(f"[{name}](#{name.lower()}{f'-{again}' if again else ''})")
        elif name not in objects:
            links.append(linked(found[name]))
    parts = [f"{NOTE}\n# {module.__name__}\n\n{markdown(docstring(module))}\n", " | ".join(links) + "\n"]
    if objects:
        parts.append(f"Objects: {', '.join(f'`{name}`' for name in objects)}.\n")
    return "\n".join([*parts, *(entry(name, found[name]) for name in here)])


def contents() -> str:
    """The table of contents."""
    lines = [f"{NOTE}\n# The API\n\n| module | what |\n|---|---|"]
    pages = kept()
    for name in [*(name for name in MODULES if name not in OPTIONAL), *OPTIONAL]:
        here = name not in pages
        first = prose(docstring(importlib.import_module(name)).splitlines()[0]) if here else pages[name].splitlines()[4]
        lines.append(f"| [{name}]({name}.md) | {first} |")
    return "\n".join(lines) + "\n"


def kept() -> dict[str, str]:
    """The pages of modules whose package is not here, as they are."""
    names = [name for name in OPTIONAL if name not in MODULES]
    return {name: (DOCS / "api" / f"{name}.md").read_text(encoding="utf-8") for name in names}


def row(*cells: str) -> str:
    """A row of a table."""
    return "| " + " | ".join(cells) + " |"


def tables() -> str:
    """Every entry of every family."""
    parts = [
        f"{NOTE}\n# Every entry\n\nThe name is what `compile`, a layer or `get` takes as a text; the class takes the "
        "arguments. Names and defaults are Keras 3's, where Keras has the entry.\n"
    ]
    for family, title in FAMILIES.items():
        table = TABLES[family]
        common = shared(list(table.units.values()))
        also = f"All of them also take {', '.join(f'`{each}`' for each in common.values())}.\n\n" if common else ""
        heads = [
            "name",
            "class",
            "other names",
            "arguments",
            *(["targets"] if hasattr(table.base, "takes") else []),
            "what",
        ]
        lines = [row(*heads), "|---" * len(heads) + "|"]
        for name, cls in table:
            others = [a for a, found in table.aliases.items() if found is cls and a not in (name, cls.__name__)]
            arguments = [shown(p) for p in parameters(cls) if p.name not in common]
            takes = [targets(cls)] if "targets" in heads else []
            lines.append(row(f"`{name}`", linked(cls, "api/"), code(others), code(arguments), *takes, first_line(cls)))
        parts.append(f"## {title}\n\n{also}" + "\n".join(lines) + "\n")
    lines = [row("class", "arguments", "what"), "|---|---|---|"]
    for cls in callbacks():
        lines.append(row(linked(cls, "api/"), code(map(shown, parameters(cls))), first_line(cls)))
    return "\n".join([*parts, "## Callbacks\n", *lines]) + "\n"


def targets(cls: Any) -> str:
    """What targets a loss or metric has a meaning for, as it declares it."""
    if isinstance(cls.takes, property):  # of a loss's mean: what the loss takes
        cls = getattr(cls, "loss", None) or TABLES["loss"].units[cls.table_name]
    return str(cls.takes.described())


def callbacks() -> list[type]:
    """The callbacks that do something."""
    found = [getattr(fastnn.callbacks, name) for name in public_names(fastnn.callbacks)]
    return [cls for cls in found if cls not in (Callback, CallbackList)]


def counted(text: str) -> str:
    """The README with as many entries of each family as there are: a row's numbers are those of its links."""
    counts = {title.lower().replace(" ", "-"): len(TABLES[family].units) for family, title in FAMILIES.items()}
    counts["callbacks"] = len(callbacks())

    def row_counted(found: re.Match[str]) -> str:
        places = re.findall(r"\(docs/tables\.md#([\w-]+)\)", found[1])
        return f"{found[1]}{', '.join(str(counts[place]) for place in places)}"

    links = r"\[[\w-]+\]\(docs/tables\.md#[\w-]+\)"
    return re.sub(rf"^(\| {links}(?:, {links})* \| )\d+(?:, \d+)*", row_counted, text, flags=re.MULTILINE)


def shared(classes: list[type]) -> dict[str, str]:
    """The arguments that all classes take, by name; with the default, which is one for all but of `name`."""
    each = [{p.name: "name" if p.name == "name" else shown(p) for p in parameters(cls)} for cls in classes]
    return {name: text for name, text in each[0].items() if all(other.get(name) == text for other in each)}


def code(texts: Iterable[str]) -> str:
    """A list of names as code."""
    return ", ".join(f"`{text}`" for text in texts)


def parameters(cls: type) -> list[inspect.Parameter]:
    """What a class is made of."""
    return list(inspect.signature(cls).parameters.values())


def shown(parameter: inspect.Parameter) -> str:
    """An argument without its type."""
    return re.sub(r"\s=\s", "=", str(parameter.replace(annotation=inspect.Parameter.empty)))


def linked(value: Any, folder: str = "") -> str:
    """A class's or function's name, with a link to its place."""
    return f"[{value.__name__}]({folder}{home_of(value)}.md#{value.__name__.lower()})"


def first_line(cls: type) -> str:
    """What a class is, in a line."""
    return prose(docstring(cls).splitlines()[0])


def pages() -> dict[str, str]:
    """What each file is to hold, by its path."""
    texts = {name: page(importlib.import_module(name)) for name in MODULES} | kept()
    texts = {f"docs/api/{name}.md": text for name, text in texts.items()}
    readme = counted((ROOT / "README.md").read_text(encoding="utf-8"))
    return {**texts, "docs/api/README.md": contents(), "docs/tables.md": tables(), "README.md": readme}


def main() -> None:
    """Write the files, and remove those of modules that are no more."""
    texts = pages()
    for old in (DOCS / "api").glob("*.md"):
        if f"docs/api/{old.name}" not in texts:
            old.unlink()
    for path, text in texts.items():
        (ROOT / path).parent.mkdir(exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

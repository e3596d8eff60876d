"""The tables of a fit as text, as statsmodels sets them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_WIDTH = 78


class Summary(str):
    """A text that shows itself as it is: in a notebook, in a console and by ``print``."""

    def __repr__(self) -> str:
        return str(self)


def text_of(found: Any, alpha: float) -> str:
    """The table of the fit and that of its coefficients."""
    coefficients = _coefficients(found, alpha)
    width = max(_WIDTH, max(map(len, coefficients)))
    lines = [found.title.center(width).rstrip(), "=" * width]
    left, right = _figures(found)
    half = (width - 4) // 2
    for place in range(max(len(left), len(right))):
        halves = [_half(*side[place], half) if place < len(side) else " " * half for side in (left, right)]
        lines.append((" " * (width - 2 * half)).join(halves).rstrip())
    lines.append("=" * width)
    lines += ["-" * width if line == "-" else line for line in coefficients]
    lines.append("=" * width)
    notes = list(found.notes)
    if found.covariance is None:
        notes.insert(0, f"No standard errors: {found.why}")
    elif not np.isfinite(found.bse).all():
        notes.insert(0, "nan: not determined, since columns follow from others or there are too few rows.")
    if notes:
        lines += ["", "Notes:", *(f"[{place}] {note}" for place, note in enumerate(notes, 1))]
    return "\n".join(lines)


def _half(name: str, value: str, width: int) -> str:
    return f"{name}:" + value.rjust(width - len(name) - 1)


def _figures(found: Any) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    left = [("Dep. Variable", found.target), ("Model", found.model), ("Method", found.method)]
    left += [("No. Observations", _count(found.nobs)), ("Df Residuals", _count(found.df_resid))]
    left += [("Df Model", _count(found.df_model))]
    if found.covariance is not None:
        left.append(("Covariance Type", found.cov_type))
    right: list[tuple[str, str]] = []
    if not math.isnan(found.rsquared):
        right += [("R-squared", f"{found.rsquared:.3f}"), ("Adj. R-squared", f"{found.rsquared_adj:.3f}")]
    if not math.isnan(found.prsquared):
        right.append(("Pseudo R-squ.", f"{found.prsquared:.4f}"))
    right += [(name, value if isinstance(value, str) else f"{value:.4g}") for name, value in found.extra.items()]
    if not math.isnan(found.rsquared) and not math.isnan(found.fvalue):
        right += [("F-statistic", f"{found.fvalue:.4g}"), ("Prob (F-statistic)", f"{found.f_pvalue:.3g}")]
    if not math.isnan(found.llf):
        right.append(("Log-Likelihood", f"{found.llf:.5g}"))
    if not math.isnan(found.prsquared) and not math.isnan(found.llnull) and found.covariance is not None:
        right += [("LL-Null", f"{found.llnull:.5g}"), ("LLR p-value", f"{found.llr_pvalue:.4g}")]
    if not math.isnan(found.llf) and found.covariance is not None:
        right += [("AIC", f"{found.aic:.4g}"), ("BIC", f"{found.bic:.4g}")]
    return left, right


def _count(number: float) -> str:
    return f"{number:.0f}" if float(number).is_integer() else f"{number:.6g}"


def _coefficients(found: Any, alpha: float) -> list[str]:
    table = found.to_dict(alpha)
    heads = [name for name in table if name not in ("equation", "name")]
    count, blocks = len(found.names), max(1, len(table["name"]) // len(found.names))
    widths = [12 if head[0] == "[" or head[-1] == "]" else 11 for head in heads]
    room = sum(widths)
    first = min(40, max(_WIDTH - (room if room > 11 else 24), *map(len, (*found.names, *found.equations))))
    lines = []
    for block in range(blocks):
        name = found.equations[block] if blocks > 1 else ""
        if block:
            lines.append("-")
        lines.append(name[:first].rjust(first) + "".join(map(str.rjust, heads, widths)))
        lines.append("-")
        for row in range(count * block, count * (block + 1)):
            cells = [_cell(head, table[head][row]) for head in heads]
            lines.append(table["name"][row][:first].ljust(first) + "".join(map(str.rjust, cells, widths)))
    return lines


def _cell(head: str, value: float) -> str:
    """A number as statsmodels shows it: four digits, three behind the point where it is a test or an interval."""
    if head in ("t", "z") or head.startswith("P>"):
        return f"{value:.3f}"
    digits = 4 if head == "coef" else 3
    if value == 0 or 1e-4 <= abs(value) < 1e4:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}g}"

"""Templates of pages. Everything that is put into one is escaped unless it says that it is HTML."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from paramsym.family_tables import elements


def render(template: str, **values: Any) -> str:
    """The template of that name, filled in."""
    return _environment().get_template(template).render(**values)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("paramsym.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda n: f"{n:,}"
    environment.filters["power"] = power_of_ten
    environment.filters["elements"] = elements_of
    environment.filters["signed"] = lambda x: f"{x:.2f}".replace("-", "−")
    environment.filters["percent"] = lambda x: f"{100 * x:.1f} %"
    return environment


def elements_of(log10_order: float) -> str:
    """The order of a group: `40,320`, or `10³⁵` where it is large."""
    mantissa, caret, exponent = elements(log10_order).partition("^")
    return mantissa + exponent.translate(_RAISED) if caret else mantissa


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(value: float, digits: int = 0) -> str:
    """A number for reading: `3·10⁻¹⁶`, or plainly `2.5` where it is neither small nor large."""
    if value == 0:
        return "0"
    if 0.01 <= abs(value) < 1000:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    raised = str(int(exponent)).translate(_RAISED)
    return f"10{raised}" if mantissa == "1" else f"{mantissa}·10{raised}"

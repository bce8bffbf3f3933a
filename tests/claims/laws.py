"""What the tests of claims share."""

from types import ModuleType

from paramsym.claims import CLAIMS


def claims_of(*modules: ModuleType) -> list[str]:
    """Ids of the claims that are measured in these modules."""
    names = {module.__name__ for module in modules}
    return [id for id, claim in CLAIMS.items() if claim.measure.__module__ in names]

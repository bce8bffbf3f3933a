"""Certificates of the blocks of a model that is too large for one of all."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, final

from torch import nn
from torch.export import ExportedProgram

from paramsym.certification.blocks import Block, blocks_of
from paramsym.certification.certificate import Certificate, Place, Verdict
from paramsym.certification.certifying import certified
from paramsym.certification.inputs import InputSampler
from paramsym.certification.setting import Setting, bytes_needed, setting_of
from paramsym.certification.within import matching
from paramsym.symmetry import Symmetry

BLOCK_MEMORY = 3e8
"""Bytes that the largest matrices of a block may take: some three thousand parameters that the
symmetry does not account for, and a minute."""

SCHEMA = "paramsym.certificate-by-blocks/1"


@final
@dataclass(frozen=True)
class BlockCertificate:
    """What is known of one block.

    Attributes:
        name: The block.
        parameters: Names of its parameters.
        size: Their entries.
        certificate: Its certificate; `None` where it is too large.
        needed: Bytes that its matrices take, about.
    """

    name: str
    parameters: tuple[str, ...]
    size: int
    certificate: Certificate | None
    needed: float

    def line(self) -> str:
        """One line."""
        if self.certificate is None:
            return f"not looked at: {self.size} parameters need {self.needed / 1e9:.1f} GB"
        c = self.certificate
        parts = {"idle": c.idle, "local": c.local_dim, "extra": c.extra}
        rest = "".join(f", {name} {count}" for name, count in parts.items() if count)
        return f"{c.verdict}: found {c.rank} of {c.nullity}{rest}"


@final
@dataclass(frozen=True)
class BlockCertificates:
    """The blocks of a model, one after the other.

    A certificate of a block counts the flat directions that move nothing outside of it, exactly.
    What moves several blocks at once, as a rotation of a residual stream does, is in none of the
    counts, neither found nor missing: blocks show what is missing inside of them, and do not prove
    that nothing is missing.

    Attributes:
        blocks: The blocks, in the order of the parameters.
        across: Names of the families that move several blocks, of which these certificates say
            nothing.
        at: `"generic"` or `"here"`.
        seed: Seed of every draw.
    """

    blocks: tuple[BlockCertificate, ...]
    across: tuple[str, ...]
    at: Place
    seed: int

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """Those of the blocks that were looked at."""
        return tuple(b.certificate for b in self.blocks if b.certificate is not None)

    @property
    def skipped(self) -> tuple[str, ...]:
        """Blocks that are too large."""
        return tuple(block.name for block in self.blocks if block.certificate is None)

    @property
    def extra(self) -> int:
        """Directions inside of blocks that nothing explains."""
        return sum(c.extra for c in self.certificates)

    @property
    def beyond(self) -> None:
        """Flat directions that the symmetry does not give: blocks do not tell how many."""

    @property
    def unsound(self) -> tuple[str, ...]:
        """Families that are no symmetries."""
        return tuple(dict.fromkeys(name for c in self.certificates for name in c.unsound))

    @property
    def verdict(self) -> Verdict:
        """The worst of a block: `"unsound"`, `"incomplete"`, `"undecided"`, also where a block was
        not looked at, or `"complete"`, inside of every block."""
        found = {c.verdict for c in self.certificates}
        if self.skipped or not found:
            found.add("undecided")
        order: tuple[Verdict, ...] = ("unsound", "incomplete", "undecided", "complete")
        return next(verdict for verdict in order if verdict in found)

    def __str__(self) -> str:
        told = [block.line() for block in self.blocks]
        width = max(map(len, told), default=0)
        lines = [f"Certificate by blocks: {self.verdict}, inside of each block"]
        # Names last: they may be long, and then are what a narrow terminal breaks.
        lines += [f"  {x:{width}}  {b.name}" for x, b in zip(told, self.blocks, strict=True)]
        for block in self.blocks:
            c = block.certificate
            if c is not None and c.extra:
                where = ", ".join(f"{share:.0%} {name}" for name, share in c.energy[:3])
                lines.append(f"  extra in {block.name}: {where}")
        lines += [f"  not a symmetry: {name}" for name in self.unsound]
        lines.append(
            f"  Directions across blocks are not seen; {len(self.across)} families move several."
        )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "extra": self.extra,
            "at": self.at,
            "seed": self.seed,
            "across": list(self.across),
            "blocks": [
                {
                    "name": block.name,
                    "parameters": list(block.parameters),
                    "size": block.size,
                    "needed": block.needed,
                    "certificate": block.certificate and block.certificate.to_dict(),
                }
                for block in self.blocks
            ],
        }


def certify_blocks(
    model: nn.Module | ExportedProgram,
    args: tuple[Any, ...] | None = None,
    symmetry: Symmetry | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    blocks: Mapping[str, Iterable[str]] | None = None,
    inputs: InputSampler | None = None,
    at: Place = "generic",
    memory: float = BLOCK_MEMORY,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> BlockCertificates:
    """Compare flat directions block by block, for models too large for `certify`.

    In each block those directions are counted that move nothing else, by the Jacobian of its
    parameters alone, and compared with the families that do not reach outside, and with
    combinations of others that do not (docs/derivations.md §29).

    Args:
        model: A module, or a program from `torch.export`.
        args: Example inputs, as for `certify`.
        symmetry: What is to be compared; by default what `discover` finds.
        kwargs: Keyword inputs.
        blocks: Name of a block → names of its parameters, or patterns as in a shell. They may
            overlap. By default modules, as large as `memory` allows; what is too large by itself
            is listed and not looked at.
        inputs: As for `certify`.
        at: As for `certify`.
        memory: Bytes that the largest matrices of one block may take together.
        seed: Seed of every draw.
        progress: Called with a line before each block.

    Raises:
        TypeError: As `certify`; or if a block of `blocks` is a string.
        ValueError: As `certify`, but for memory.
    """
    setting = setting_of(model, args, symmetry, kwargs=kwargs, inputs=inputs, at=at, seed=seed)

    def fits(names: tuple[str, ...]) -> bool:
        return bytes_needed(setting, names) <= memory

    if blocks is None:
        chosen = blocks_of(setting.every.sizes, fits)
    else:
        chosen = [_given(setting, name, patterns, fits) for name, patterns in blocks.items()]
    found = []
    for number, block in enumerate(chosen, 1):
        if progress is not None and block.fits:
            progress(f"{block.name} ({number} of {len(chosen)})")
        found.append(
            BlockCertificate(
                block.name,
                block.parameters,
                sum(setting.every.sizes[name] for name in block.parameters),
                certified(setting, block.parameters) if block.fits else None,
                bytes_needed(setting, block.parameters),
            )
        )
    used = setting.every.sizes.keys()
    across = tuple(
        family.name
        for family in setting.symmetry.families
        if not any(family.moves & used <= set(block.parameters) for block in chosen)
    )
    return BlockCertificates(tuple(found), across, at, seed)


def _given(
    setting: Setting,
    name: str,
    patterns: Iterable[str],
    fits: Callable[[tuple[str, ...]], bool],
) -> Block:
    if isinstance(patterns, str):
        raise TypeError(
            f"`blocks`: {name!r} must be several names or patterns; got {patterns!r}. "
            f"Write [{patterns!r}]."
        )
    names = tuple(matching(setting.every.sizes, patterns))
    return Block(name, names, fits(names))

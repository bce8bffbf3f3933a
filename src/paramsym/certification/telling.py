"""A certificate as text."""

from collections.abc import Sequence

from paramsym.certification.certificate import LISTED, Certificate

SHOWN = 3
"""Names of parameters and families that a line lists."""

_WORDS = {
    "complete": "all flat directions are explained",
    "incomplete": "flat directions are left that nothing explains",
    "undecided": "the numbers do not tell",
    "unsound": "a family is no symmetry",
}


def as_text(certificate: Certificate) -> str:
    """A few lines: the verdict, the counts, and what is not explained."""
    c = certificate
    gap = f"smallest kept {c.kept:.1e}, largest dropped {c.dropped:.1e}"
    where = "generic parameters" if c.at == "generic" else "the model's own parameters"
    lines = [
        f"Certificate: {c.verdict} ({_WORDS[c.verdict]})",
        f"  at {where}, {c.rows} rows, {c.mode} mode, seed {c.seed}",
        f"  parameters  {c.parameters:6}" + (f"   and {c.unused} unused" if c.unused else ""),
        f"  nullity     {c.nullity:6}   {gap}",
        f"  found       {c.rank:6}   residual {c.residual:.1e}",
    ]
    if c.within:
        lines.insert(
            2, f"  of directions that move {_listed(c.within)} only; of others it says nothing"
        )
    if c.idle:
        lines.append(f"  idle        {c.idle:6}   entries that never enter, at these shapes")
    if c.local:
        lines.append(f"  local       {c.local_dim:6}   depends on these parameters:")
        lines += [f"    {f.dim:6}  {f.kind} in {f.where}" + _in_brackets(f.detail) for f in c.local]
    lines.append(f"  extra       {c.extra:6}")
    if c.extra:
        if c.special_inputs:
            lines.append(f"    {c.special_inputs:6}  flat on the inputs of this sampler alone")
        lines += [f"    {share:6.1%}  {name}" for name, share in c.energy[:LISTED]]
        if len(c.energy) > LISTED:
            rest = sum(share for _, share in c.energy[LISTED:])
            lines.append(f"    {rest:6.1%}  in {len(c.energy) - LISTED} other parameters")
    if c.undecided:
        lines.append(f"  undecided   {c.undecided:6}   singular values near the rounding")
    if c.grew:
        lines.append("  undecided: fresh inputs still removed directions; raise `max_rows`")
    lines += [
        f"  not a symmetry: {f.name} ({f.group}), residual {f.residual:.1e}"
        for f in c.families
        if not f.holds
    ]
    if c.extra and c.left_out:
        lines.append(
            f"  undecided: {len(c.left_out)} families that reach outside are too large to be "
            f"combined: {_listed(c.left_out)}"
        )
    if c.units:
        lines.append(f"  units that can go: {len(c.units)}")
    if c.held:
        lines.append(f"  inputs left as given: number {', '.join(map(str, c.held))}")
    return "\n".join(lines)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def _in_brackets(detail: str) -> str:
    return f" ({detail})" if detail else ""

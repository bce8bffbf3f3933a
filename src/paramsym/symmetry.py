"""The symmetry of a model's parameter space: families of group actions, and what they do."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from paramsym import action, conserved, moment_map
from paramsym.discrete.family import DiscreteFamily
from paramsym.element import AlgebraElement, GroupElement
from paramsym.evidence import Barrier, Verification
from paramsym.family import Family
from paramsym.letters import letters_of, no_family, parts_of, require_member
from paramsym.orbit_dimension import generic_dim, is_bound, tangent_rank
from paramsym.parameters import Parameter, check_params
from paramsym.sharded import is_fully_sharded, require_equal
from paramsym.still import Pin

if TYPE_CHECKING:
    from paramsym.explaining import Explanation


@final
@dataclass(frozen=True)
class Symmetry:
    """The symmetries of a model's parameters, as plain data.

    Parameter dicts are `dict(model.named_parameters())`; all functions return new dicts and leave
    their arguments alone. They check names and shapes; `check=True` checks values too.

    Attributes:
        families: What each hidden space may do.
        parameters: Parameters of the model, tied ones once.
        barriers: Ops that were not analysed.
        unused: Parameters that the outputs do not depend on.
        mode: `"train"`, `"eval"`, or `"exported"`, in which the model was recorded.
        mode_dependent: Whether the model computes another function in the other mode (dropout,
            batch norm). Laws are those of training in the recorded mode.
        verification: What was measured; `None` where nothing was.
        discrete: Permutations and signs that no family of matrices contains. GL(n), Aff(n) and O(n)
            contain those of their coordinates; `families` is the continuous part.
        pins: Which ops keep still what no family moves, parameter by parameter and axis by axis.
    """

    families: tuple[Family, ...]
    parameters: tuple[Parameter, ...]
    barriers: tuple[Barrier, ...] = ()
    unused: tuple[str, ...] = ()
    mode: str = "train"
    mode_dependent: bool = False
    verification: Verification | None = field(default=None, compare=False)
    discrete: tuple[DiscreteFamily, ...] = ()
    pins: tuple[Pin, ...] = ()

    def __post_init__(self) -> None:
        shapes = {p.name: p.shape for p in self.parameters}
        for family in (*self.families, *self.discrete):
            family.require_shapes(shapes)
        if len(self._any_by_name) != len(self.families) + len(self.discrete):
            raise ValueError("families must have distinct names; rename the repeated ones.")

    @classmethod
    def of(cls, families: Iterable[Family], params: Mapping[str, Tensor] | nn.Module) -> "Symmetry":
        """A symmetry from hand-written families, for parameters or a model."""
        from paramsym.parameters import parameters_of

        if isinstance(params, nn.Module):
            return cls(tuple(families), parameters_of(params))
        described = (
            Parameter(k, tuple(p.shape), (), not isinstance(p, nn.Parameter) or p.requires_grad)
            for k, p in params.items()
        )
        return cls(tuple(families), tuple(described))

    @cached_property
    def _by_name(self) -> dict[str, Family]:
        return {family.name: family for family in self.families}

    @cached_property
    def _any_by_name(self) -> dict[str, Family | DiscreteFamily]:
        return {family.name: family for family in (*self.families, *self.discrete)}

    def __iter__(self) -> Iterator[Family]:
        return iter(self.families)

    def __len__(self) -> int:
        return len(self.families)

    def __getitem__(self, name: str) -> Family:
        """The family of that name."""
        if name not in self._by_name:
            raise KeyError(no_family(name, self._by_name))
        return self._by_name[name]

    def select(self, *names: str) -> "Symmetry":
        """The same symmetry with only some of the families, in the order given; discrete ones too,
        where they are named."""
        chosen = [self._any_by_name.get(name) or self[name] for name in names]
        return replace(
            self,
            families=tuple(f for f in chosen if isinstance(f, Family)),
            discrete=tuple(f for f in chosen if isinstance(f, DiscreteFamily)),
        )

    def __str__(self) -> str:
        from paramsym.summary import as_text

        return as_text(self)

    def explain(self, parameter: str) -> "Explanation":
        """Which families move a parameter, along which axis, and what of it none moves.

        Args:
            parameter: Its name; another name of a tied one will do.

        Raises:
            ValueError: If there is no parameter of that name.
        """
        from paramsym.explaining import explain

        return explain(self, parameter)

    # -- dimensions ------------------------------------------------------------------------

    @property
    def group_dim(self) -> int:
        """Dimension of the abstract group: the sum over families."""
        return sum(family.group.dim for family in self.families)

    @cached_property
    def dim(self) -> int:
        """Dimension of the orbit at generic parameters: flat directions that the symmetry gives.

        By closed forms; families of matrices that share parameters are handled together, by the
        rank of their joint action at random parameters (by the sum of the closed forms, an upper
        bound, where that is too large to compute).
        """
        return generic_dim(self.families, {p.name: p.shape for p in self.parameters})

    @cached_property
    def dim_is_bound(self) -> bool:
        """Whether `dim` is an upper bound, the joint rank of some families being too large to
        compute."""
        return is_bound(self.families, {p.name: p.shape for p in self.parameters})

    def orbit_dim(self, params: Mapping[str, Tensor]) -> int:
        """Dimension of the orbit through `params`: rank of the infinitesimal action there.

        Dense: for small models, the check on `dim`.

        Raises:
            ValueError: If the matrix of tangents would be too large, or a value is not finite, or
                a gain that an action divides by is zero.
        """
        self._check(params, check=True)
        for family in self.families:
            family.require_gains(params)
        return tangent_rank(self.families, params)

    @cached_property
    def law_dim(self) -> int:
        """Number of independent conserved quantities at generic parameters, counted as `dim` is."""
        return generic_dim(self._lawful, {p.name: p.shape for p in self.parameters}, laws=True)

    @cached_property
    def law_dim_is_bound(self) -> bool:
        """Whether `law_dim` is an upper bound, as for `dim_is_bound`."""
        return is_bound(self._lawful, {p.name: p.shape for p in self.parameters}, laws=True)

    def laws_of(self, family: Family) -> int:
        """Number of conserved quantities of one family; none where it moves a parameter that is
        frozen, or whose gradient is not that of the function."""
        return family.law_dim if family in self._lawful else 0

    @cached_property
    def _free(self) -> list[Family]:
        """Families that gradient flow is free to follow: it moves all that they move, and by the
        gradient of the function."""
        other = {p.name for p in self.parameters if not p.trainable or p.altered_gradient}
        return [family for family in self.families if not family.moves & other]

    @cached_property
    def _lawful(self) -> list[Family]:
        """Families with a law."""
        return [family for family in self._free if family.has_law]

    # -- elements --------------------------------------------------------------------------

    def identity(self) -> GroupElement:
        """The unit."""
        return self._word([family.group.identity() for family in self.families])

    def sample(
        self,
        scale: float = 0.1,
        *,
        generator: torch.Generator | None = None,
        discrete: bool = False,
    ) -> GroupElement:
        """Draw a group element near the identity, one letter a family, in float64.

        Args:
            scale: Spread of the generators.
            generator: Source of randomness.
            discrete: Also draw from the other components (reflections), and append a letter for
                every discrete family, drawn uniformly.
        """
        word = self._word(
            [
                family.group.sample(scale, generator=generator, discrete=discrete)
                for family in self.families
            ]
        )
        if not discrete:
            return word
        draws = tuple(family.group.sample(generator=generator) for family in self.discrete)
        names = tuple(family.name for family in self.discrete)
        return GroupElement(names, tuple(f.group for f in self.discrete), draws) @ word

    def sample_algebra(
        self, scale: float = 1.0, *, generator: torch.Generator | None = None
    ) -> AlgebraElement:
        """Draw an element of the Lie algebra, in float64."""
        draws = {f.name: f.group.sample_algebra(scale, generator=generator) for f in self.families}
        return AlgebraElement({f.name: f.group for f in self.families}, draws)

    def _word(self, tensors: list[Tensor]) -> GroupElement:
        names = tuple(family.name for family in self.families)
        return GroupElement(names, tuple(f.group for f in self.families), tuple(tensors))

    def params(self, model: nn.Module) -> dict[str, Tensor]:
        """The parameter dict of a model, with the buffers that move with its parameters if there
        are any (`discover(..., buffers=True)`)."""
        buffers = {p.name for p in self.parameters if p.is_buffer}
        moving = {name: buffer for name, buffer in model.named_buffers() if name in buffers}
        return {**dict(model.named_parameters()), **moving}

    # -- the action --------------------------------------------------------------------------

    def act(
        self,
        g: GroupElement | Mapping[str, Tensor],
        params: Mapping[str, Tensor],
        *,
        check: bool = False,
    ) -> dict[str, Tensor]:
        """The parameters moved by `g`, which compute the same function (Proposition 3.2).

        Args:
            g: A group element from `sample`, a product of such, or a dict from family names to
                group elements, applied in that order. It is cast to the parameters' dtype.
            params: Parameter dict. Sharded parameters (`DTensor`) keep their placements; every
                process must hold the same `g`.
            check: Also check values: finite parameters, gains that are not zero, membership in the
                group.

        Returns:
            A new dict; parameters that nothing moves are the same tensors.

        Raises:
            ValueError: If a name or shape does not fit, or with `check` a value; also if `g`
                differs between processes that share the parameters.
            TypeError: If an entry is not a floating-point tensor.
        """
        return action.act(self._checked(g, params, check), params)

    def _checked(
        self, g: GroupElement | Mapping[str, Tensor], params: Mapping[str, Tensor], check: bool
    ) -> list[tuple[Family | DiscreteFamily, Tensor]]:
        self._check(params, check=check)
        letters = letters_of(self._any_by_name, g)
        require_equal([letter for _, letter in letters], params.values(), "g")
        if check:
            for family, letter in letters:
                require_member(family, letter)
                if isinstance(family, Family):
                    family.require_gains(params)
        return letters

    @torch.no_grad()
    def act_(
        self, g: GroupElement | Mapping[str, Tensor], model: nn.Module | Mapping[str, Tensor]
    ) -> None:
        """Move parameters in place, a module's or a dict's; all of them or, on an error, none.

        Everything is checked first. Then the parameters move one after the other: the extra memory
        is that of the largest. Modules under `fully_shard` are resharded first, because what is
        written to gathered parameters is lost.

        Raises:
            ValueError: As `act`; also if the symmetry depends on the mode and the model is in the
                other one, or on running statistics and the model has others.
        """
        if isinstance(model, Mapping):
            action.act_(self._checked(g, model, check=True), model)
            return
        if not isinstance(model, nn.Module):
            raise TypeError(
                "`model` must be a torch.nn.Module or a parameter dict; "
                f"got {type(model).__name__}."
            )
        now = "train" if model.training else "eval"
        if self.mode_dependent and self.mode in ("train", "eval") and now != self.mode:
            raise ValueError(
                f"`model` is in {now} mode, but this symmetry was discovered in {self.mode} mode "
                "and the model computes another function there. "
                f"Call `model.{self.mode}()` first, or discover it in {now} mode."
            )
        for module in model.modules():
            if is_fully_sharded(module):
                module.reshard()
        params, buffers = self.params(model), dict(model.named_buffers())
        letters = list(self._checked(g, params, check=True))
        for family, _ in letters:
            if isinstance(family, Family):
                family.require_constants(buffers)
        action.act_(letters, params)

    def tangent(
        self, M: AlgebraElement | Mapping[str, Tensor], params: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Infinitesimal action M·θ: the derivative of `act(exp(tM))` at t = 0 (eq. (5)).

        Returns:
            A dict with the same keys as `params`; zeros where nothing moves.

        Raises:
            ValueError: If a name or shape does not fit.
        """
        self._check(params)
        parts = parts_of(self._by_name, M, "M")
        require_equal([part for _, part in parts], params.values(), "M")
        field = action.tangent(parts, params)
        return {k: field[k] if k in field else torch.zeros_like(p) for k, p in params.items()}

    def moment(
        self, params: Mapping[str, Tensor], covector: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """For each family the P with ⟨covector, M·θ⟩ = ⟨P, M⟩; zero for covector ∇L (Prop. 3.4)."""
        self._check(params)
        check_params(covector, self.parameters, argument="covector")
        return moment_map.moments(self.families, params, covector)

    # -- what training conserves ---------------------------------------------------------------

    def conserved(self, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Conserved quantities of gradient flow, {family name: Q} (eq. (12)).

        Families have no law, and are absent, if they move a parameter that is frozen or whose
        gradient is not the function's (the padding row of an embedding gets none), or if their
        generators are not symmetric. For scalings of a layer Q is `[h]`, ‖V_i‖² + b_i² − α‖U_i‖²;
        for linear spaces the symmetric matrix VVᵀ + bbᵀ − UᵀU.
        """
        self._check(params)
        return conserved.conserved(self._lawful, params)

    def conserved_quantity(
        self, M: AlgebraElement | Mapping[str, Tensor], params: Mapping[str, Tensor]
    ) -> Tensor:
        """Q_M(θ) = ⟨θ, M·θ⟩ for one symmetric generator, a scalar (eq. (12), C.9.1).

        Raises:
            ValueError: If M is not symmetric: an antisymmetric M gives 0 at any parameters, which
                would look conserved and say nothing. Also if a family that M uses has no law.
        """
        self._check(params)
        parts = parts_of(self._by_name, M, "M")
        require_equal([part for _, part in parts], params.values(), "M")
        return conserved.conserved_quantity(parts, self._lawful, params)

    def angular_momentum(
        self, params: Mapping[str, Tensor], velocity: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Angular momentum of a velocity, {family name: tensor}; 0 along gradient flow.

        Eq. (13), for every family whose algebra has an antisymmetric part; those that move a
        parameter that is frozen, or whose gradient is not the function's, are absent.
        """
        self._check(params)
        check_params(velocity, self.parameters, argument="velocity")
        return conserved.angular_momentum(self._free, params, velocity)

    # -- checks ----------------------------------------------------------------------------------

    def _check(self, params: Mapping[str, Tensor], *, check: bool = False) -> None:
        if isinstance(params, GroupElement | AlgebraElement):
            raise TypeError(
                "`params` must be a dict of tensors by parameter name; got an element of the "
                "group. The element comes first, as in `symmetry.act(g, params)`."
            )
        check_params(params, self.parameters, values=check)

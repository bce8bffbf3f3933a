"""Every law by name. To have a law run over every subject, add it here."""

from collections.abc import Mapping

from tests.laws import (
    action_laws,
    conservation_laws,
    dimension_laws,
    function_laws,
    infinitesimal_laws,
    precision_laws,
    storage_laws,
    transform_laws,
    twin_laws,
)
from tests.laws.measure import Law

LAWS: Mapping[str, Law] = {
    law.__name__: law
    for law in (
        action_laws.unit,
        action_laws.product,
        action_laws.representation,
        action_laws.inverse,
        action_laws.pure,
        action_laws.in_place,
        function_laws.invariance,
        function_laws.noether,
        function_laws.noether_by_moment,
        infinitesimal_laws.derivative,
        infinitesimal_laws.adjoint,
        infinitesimal_laws.pullback,
        transform_laws.vmap_over_elements,
        transform_laws.vmap_over_parameters,
        transform_laws.double_backward,
        precision_laws.float32,
        precision_laws.bfloat16,
        precision_laws.mixed_precision,
        conservation_laws.conservation,
        conservation_laws.quantity,
        conservation_laws.field_is_gradient,
        conservation_laws.drift,
        conservation_laws.angular_momentum,
        dimension_laws.orbit_dimension,
        dimension_laws.law_dimension,
        twin_laws.dense_action,
        twin_laws.dense_tangent,
        twin_laws.dense_moment,
        storage_laws.json_round_trip,
    )
}

"""Place: the documented import path of `openmanus_graph.models.call_site`."""

from openmanus_graph.models.call_site import Place

__all__ = ["Place"]

"""Place: the documented import path of `openmanus_graph.call_site`."""

from openmanus_graph.call_site import CallSite as Place

__all__ = ["Place"]

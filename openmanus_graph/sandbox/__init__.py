"""Sandbox: where shell and Python tools run."""

from openmanus_graph.sandbox.launch import Level
from openmanus_graph.sandbox.level import LevelReport, choose_level, probe
from openmanus_graph.sandbox.limits import SandboxLimits
from openmanus_graph.sandbox.process import Finished, SandboxProcess, open_process, run_process

__all__ = [
    "Finished",
    "Level",
    "LevelReport",
    "SandboxLimits",
    "SandboxProcess",
    "choose_level",
    "open_process",
    "probe",
    "run_process",
]

"""Run a federation over several machines: certificates, keys, Flower's processes, runs."""

from discreet.deployment.bundle import App, kit_app, read_app
from discreet.deployment.certificates import days_left, fingerprint
from discreet.deployment.control import Control, OwnerNode, RunState, is_healthy, open_control
from discreet.deployment.folders import NodeFolder, ServerFolder
from discreet.deployment.node import start_node
from discreet.deployment.processes import Child
from discreet.deployment.runs import Tasks, run_deployed, run_ray, submit
from discreet.deployment.server import start_server
from discreet.deployment.settings import NodeSettings, ServerSettings
from discreet.deployment.trial import create_trial

__all__ = [
    "App",
    "Child",
    "Control",
    "NodeFolder",
    "NodeSettings",
    "OwnerNode",
    "RunState",
    "ServerFolder",
    "ServerSettings",
    "Tasks",
    "create_trial",
    "days_left",
    "fingerprint",
    "is_healthy",
    "kit_app",
    "open_control",
    "read_app",
    "run_deployed",
    "run_ray",
    "start_node",
    "start_server",
    "submit",
]

"""Simulated controllers: what kube-controller-manager, the scheduler and kubelets would do, without containers."""

from agent.sandbox.controllers.loop import start

__all__ = ["start"]

"""Reads what Kustomize rendered."""

from pathlib import Path
from typing import Any

from composition import SERVICES

K8S = Path(__file__).resolve().parents[2] / "deploy" / "k8s"
OVERLAYS = ("overlays/dev", "overlays/production")

Manifest = dict[str, Any]


def of_kind(manifests: list[Manifest], *kinds: str) -> dict[str, Manifest]:
    return {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] in kinds}


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The pod templates of everything that runs."""
    running = of_kind(manifests, "Deployment", "StatefulSet", "Job")
    return {name: manifest["spec"]["template"] for name, manifest in running.items()}


def services(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {name: pod for name, pod in pods(manifests).items() if name.partition("-")[0] in SERVICES}


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a Kubernetes label selector matches."""
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    return exact and all(labels.get(rule["key"]) in rule["values"] for rule in selector.get("matchExpressions", ()))

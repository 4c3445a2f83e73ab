"""Who reaches whom, by what Kustomize renders: the ingress lets in what is public, NetworkPolicies the rest."""

from collections.abc import Callable

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from kustomized import Manifest, of_kind, pods, selects, services

from kit import health
from kit.service import Service


class TestEdge:
    """The ingress leads to what gateway has for the outside, and to nothing else of it."""

    @pytest.fixture
    def leads_to_gateway(self, overlays: dict[str, list[Manifest]]) -> Callable[[str], bool]:
        (rule,) = of_kind(overlays["overlays/production"], "Ingress")["gateway"]["spec"]["rules"]
        paths = [(entry["path"].rstrip("/"), entry["pathType"]) for entry in rule["http"]["paths"]]

        def leads(path: str) -> bool:
            return any(
                path.rstrip("/") == known or (kind == "Prefix" and path.startswith(f"{known}/"))
                for known, kind in paths
            )

        return leads

    def test_every_route_of_gateway_is_reached(self, leads_to_gateway: Callable[[str], bool], gateway: Service) -> None:
        routes = {path for router in gateway.routers for path in paths_of(router)}

        assert len(routes) > 30
        assert {route for route in routes if not leads_to_gateway(route)} == set()

    def test_what_is_for_operators_is_not(self, leads_to_gateway: Callable[[str], bool]) -> None:
        assert {"/metrics", "/health", "/readyz", "/livez"} == paths_of(health.router)
        assert not any(leads_to_gateway(path) for path in paths_of(health.router))


class TestNetwork:
    """NetworkPolicies add up: what no policy of a pod allows is refused."""

    def test_everything_is_refused_at_first(self, manifests: list[Manifest]) -> None:
        refuse = of_kind(manifests, "NetworkPolicy")["refuse-all"]["spec"]

        assert set(refuse["policyTypes"]) == {"Ingress", "Egress"}
        assert "ingress" not in refuse
        assert "egress" not in refuse
        for pod in pods(manifests).values():
            assert selects(refuse["podSelector"], pod["metadata"]["labels"])

    def test_services_are_reached_from_gateway_only(self, manifests: list[Manifest]) -> None:
        gateway = services(manifests)["gateway-api"]["metadata"]["labels"]
        for name, pod in services(manifests).items():
            callers = {caller for caller in services(manifests) if reaches(manifests, caller, pod)}

            if name == "gateway-api":
                assert open_to_all(manifests, pod)
            elif name.endswith("-api"):
                assert callers == {"gateway-api", "gateway-worker", "gateway-migrate"}
                assert not open_to_all(manifests, pod)
            else:
                assert callers == set()
        assert gateway["app.kubernetes.io/name"] == "gateway"

    def test_only_those_who_must_reach_the_internet(self, manifests: list[Manifest]) -> None:
        outward = {
            name
            for name, pod in services(manifests).items()
            for rule in rules(manifests, pod["metadata"]["labels"], "egress")
            if any("ipBlock" in peer for peer in rule.get("to", ())) and not is_for_names(rule)
        }

        assert {name.partition("-")[0] for name in outward} == {"billing", "generation", "storage", "publishing"}

    def test_names_are_found_in_a_cluster_with_a_cache_on_its_nodes(self, manifests: list[Manifest]) -> None:
        for pod in services(manifests).values():
            (rule,) = [r for r in rules(manifests, pod["metadata"]["labels"], "egress") if is_for_names(r)]

            assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in rule["to"]

    def test_private_addresses_are_not_the_internet(self, manifests: list[Manifest]) -> None:
        block = of_kind(manifests, "NetworkPolicy")["outside"]["spec"]["egress"][0]["to"][0]["ipBlock"]

        assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(block["except"])


def paths_of(router: APIRouter) -> set[str]:
    return {route.path for route in router.routes if isinstance(route, APIRoute)}


def rules(manifests: list[Manifest], labels: dict[str, str], direction: str) -> list[Manifest]:
    """All that the policies which select a pod allow it in one direction."""
    policies = of_kind(manifests, "NetworkPolicy").values()
    chosen = [policy["spec"] for policy in policies if selects(policy["spec"]["podSelector"], labels)]
    return [rule for policy in chosen for rule in policy.get(direction, ())]


def is_for_names(rule: Manifest) -> bool:
    return {port["port"] for port in rule["ports"]} == {53}


def reaches(manifests: list[Manifest], caller: str, pod: Manifest) -> bool:
    """Whether a service's pod is let in by a rule that names pods of this namespace."""
    labels = pods(manifests)[caller]["metadata"]["labels"]
    return any(
        selects(peer["podSelector"], labels)
        for rule in rules(manifests, pod["metadata"]["labels"], "ingress")
        for peer in rule.get("from", ())
        if "podSelector" in peer and "namespaceSelector" not in peer
    )


def open_to_all(manifests: list[Manifest], pod: Manifest) -> bool:
    return any("from" not in rule for rule in rules(manifests, pod["metadata"]["labels"], "ingress"))

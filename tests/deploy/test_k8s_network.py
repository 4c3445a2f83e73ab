"""Who reaches whom, by what Kustomize renders: the ingress lets in what is public, NetworkPolicies the rest."""

import re
from collections.abc import Callable

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from kustomized import K8S, Manifest, of_kind, pods, selects, services

from composition import SERVICES
from kit import health
from kit.service import Service
from shared.jobs import WebhookTarget


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
        reach = {name.partition("-")[0] for name, pod in services(manifests).items() if outward(manifests, pod)}

        assert reach == {"billing", "generation", "storage", "publishing"}

    def test_names_are_found_in_a_cluster_with_a_cache_on_its_nodes(self, manifests: list[Manifest]) -> None:
        for pod in services(manifests).values():
            (rule,) = [r for r in rules(manifests, pod["metadata"]["labels"], "egress") if is_for_names(r)]

            assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in rule["to"]

    def test_private_addresses_are_not_the_internet(self, manifests: list[Manifest]) -> None:
        internet = [rule["to"] for pod in services(manifests).values() for rule in outward(manifests, pod)]
        blocks = [peer["ipBlock"] for peers in internet for peer in peers]

        assert {block["cidr"] for block in blocks} == {"0.0.0.0/0"}
        assert len({tuple(block["except"]) for block in blocks}) == 1
        assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(blocks[0]["except"])

    def test_only_a_webhook_may_go_to_a_port_that_its_receiver_has_chosen(self, manifests: list[Manifest]) -> None:
        ports = {
            name: [sorted(port["port"] for port in rule.get("ports", ())) for rule in outward(manifests, pod)]
            for name, pod in services(manifests).items()
        }

        assert WebhookTarget.model_validate({"url": "https://example.com:8443"}).url.port == 8443
        assert {name for name, found in ports.items() if [] in found} == {"publishing-worker"}
        assert [80, 443] in ports["generation-worker"]


class TestPorts:
    def test_a_port_of_a_service_is_that_of_its_pods(self, manifests: list[Manifest]) -> None:
        """Amazon's network policies are asked about the service's address and port, and know those of pods."""
        found = of_kind(manifests, "Service")

        assert len(found) > len(SERVICES)
        for name, service in found.items():
            (port,) = service["spec"]["ports"]
            (pod,) = [
                pod
                for pod in pods(manifests).values()
                if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
            ]
            of_pod = {named["name"]: named["containerPort"] for named in pod["spec"]["containers"][0]["ports"]}
            assert (port["targetPort"], of_pod[port["targetPort"]]) == (port["name"], port["port"]), name

    def test_settings_and_examples_name_ports_that_there_are(self, manifests: list[Manifest]) -> None:
        known = {
            (name, str(service["spec"]["ports"][0]["port"])) for name, service in of_kind(manifests, "Service").items()
        }
        hosts = "|".join(name for name, _ in known)
        settings = [config["data"] for config in of_kind(manifests, "ConfigMap").values()]
        urls = re.findall(rf"http://({hosts})(?::(\d+))?(?=[/'])", str(settings))
        forwards = [
            forward
            for file in ("README.md", "overlays/dev/kustomization.yaml")
            for forward in re.findall(r"service/(\S+) (?:\d+:)?(\d+)", (K8S / file).read_text())
        ]

        assert {f"{name}-api" for name in SERVICES} - {"gateway-api"} <= {name for name, _ in urls}
        assert set(urls) <= known
        assert {name for name, _ in forwards} == {"gateway-api", "s3"}
        assert {forward for forward in forwards if forward[0] in dict(known)} <= known


def paths_of(router: APIRouter) -> set[str]:
    return {route.path for route in router.routes if isinstance(route, APIRoute)}


def rules(manifests: list[Manifest], labels: dict[str, str], direction: str) -> list[Manifest]:
    """All that the policies which select a pod allow it in one direction."""
    policies = of_kind(manifests, "NetworkPolicy").values()
    chosen = [policy["spec"] for policy in policies if selects(policy["spec"]["podSelector"], labels)]
    return [rule for policy in chosen for rule in policy.get(direction, ())]


def outward(manifests: list[Manifest], pod: Manifest) -> list[Manifest]:
    """The rules by which a pod reaches addresses outside of the cluster."""
    allowed = rules(manifests, pod["metadata"]["labels"], "egress")
    return [rule for rule in allowed if any("ipBlock" in peer for peer in rule["to"]) and not is_for_names(rule)]


def is_for_names(rule: Manifest) -> bool:
    return {port["port"] for port in rule.get("ports", ())} == {53}


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

"""What has to survive `kill -9` (paid calls, fault rules, inboxes), and what must not: the workers."""

import socket
import subprocess
import sys

import psutil
import pytest

MODEL = "gpt-image-2"


def generate(twin, key, prompt, **options):
    with twin.openai(key) as client:
        client.images.generate(model=MODEL, prompt=prompt, size="256x256", **options)


def restart(twin):
    twin.kill()
    twin.start()


class TestAfterAKill:
    def test_paid_calls_are_still_counted(self, restartable_twin, key):
        generate(restartable_twin, key, "[[twin:flat]] boat", n=3, extra_headers={"Idempotency-Key": "item-1"})
        before = restartable_twin.calls(key)

        restart(restartable_twin)

        assert restartable_twin.calls(key) == before
        assert before["totals"]["openai images.generate"]["images"] == 3
        assert before["calls"][0]["idempotency_key"] == "item-1"

    def test_a_torn_last_record_is_dropped_and_the_journal_goes_on(self, restartable_twin, key, tmp_path):
        generate(restartable_twin, key, "[[twin:flat]] boat")
        restartable_twin.kill()
        with (tmp_path / "calls.jsonl").open("a") as journal:
            journal.write('{"id": "call_torn')

        restartable_twin.start()
        generate(restartable_twin, key, "[[twin:flat]] ship")
        restart(restartable_twin)

        assert [call["prompt"] for call in restartable_twin.calls(key)["calls"]] == [
            "[[twin:flat]] ship",
            "[[twin:flat]] boat",
        ]

    def test_a_fault_rule_has_what_was_left_of_it(self, restartable_twin, key):
        restartable_twin.http.put("/control/faults", json=[{"action": "flat", "times": 3}]).raise_for_status()
        generate(restartable_twin, key, "boat")

        restart(restartable_twin)

        assert restartable_twin.http.get("/control/faults").json()[0]["times"] == 2

    def test_an_inbox_keeps_its_messages_and_its_secret(self, restartable_twin):
        config = {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
        restartable_twin.http.put("/hooks/orders/config", json=config).raise_for_status()
        restartable_twin.http.post("/hooks/orders", content=b"\xff\x00", headers={"webhook-id": "msg_1"})
        before = restartable_twin.http.get("/hooks/orders/messages").json()

        restart(restartable_twin)

        assert restartable_twin.http.get("/hooks/orders/messages").json() == before
        assert before["messages"][0]["encoding"] == "base64"

    def test_forgotten_calls_stay_forgotten(self, restartable_twin, key):
        generate(restartable_twin, key, "[[twin:flat]] boat")
        assert restartable_twin.http.delete("/control/calls").status_code == 204

        restart(restartable_twin)

        assert restartable_twin.calls(key)["calls"] == []


class TestWorkers:
    def test_end_with_their_killed_server(self, restartable_twin, key):
        generate(restartable_twin, key, "a meadow")
        children = psutil.Process(restartable_twin.process.pid).children(recursive=True)
        assert children

        restartable_twin.kill()

        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []
        restartable_twin.start()

    def test_are_replaced_when_one_is_killed(self, restartable_twin, key):
        generate(restartable_twin, key, "a meadow")
        for child in psutil.Process(restartable_twin.process.pid).children(recursive=True):
            child.kill()

        generate(restartable_twin, key, "a desert")

        assert restartable_twin.calls(key)["matching"]["paid"] == 2


class TestCommand:
    def test_says_in_one_line_that_its_port_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            result = subprocess.run(
                [sys.executable, "-m", "twins", "serve", "--port", port], capture_output=True, text=True, check=False
            )

        assert result.returncode == 1
        assert result.stderr.splitlines() == [f"twins cannot listen on 127.0.0.1:{port}: Address already in use"]

    @pytest.mark.parametrize("path", ["/livez", "/readyz"])
    def test_answers_probes(self, flat_twin, path):
        assert flat_twin.http.get(path).status_code == 200

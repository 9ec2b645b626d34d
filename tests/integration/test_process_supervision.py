"""The real processes: that they start, and what happens when one of them dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import Program, children_of_session, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(params=["epoll", "twistproxy"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Program]:
    one = Program(tmp_path, request.param)
    yield one
    one.clean()


def replaced(program: Program, name: str, former: int) -> int:
    """Wait until another process has this name; its pid."""
    return int(wait_for(lambda: (p := program.children().get(name)) and p != former and p, f"a new {name}"))


def test_it_starts_and_every_worker_answers(program: Program) -> None:
    program.start()
    children = program.children()
    assert set(children) == {"template", "discovery", "worker 0", "worker 1"}
    workers = {children["worker 0"], children["worker 1"]}
    seen: set[int] = set()

    def both() -> bool:
        seen.add(int(program.get().split()[0]))
        return seen == workers

    wait_for(both, "answers of both workers")
    title = Path(f"/proc/{program.pid}/cmdline").read_bytes().rstrip(b"\0").decode()
    assert title == f"twistproxy: master {program.config}"
    assert oct(program.run_dir.stat().st_mode)[-3:] == "700"
    program.signal(signal.SIGINT)
    assert program.wait() == 0
    assert program.children() == {}
    assert not program.run_dir.exists()


def test_a_killed_worker_is_replaced_and_its_queue_waits_for_the_next(program: Program) -> None:
    program.options[program.options.index("--concurrency") + 1] = "1"
    program.start()
    worker = program.children()["worker 0"]
    os.kill(worker, signal.SIGSTOP)
    waiting = program.connect()
    waiting.request("GET", "/")
    os.kill(worker, signal.SIGKILL)
    answer = waiting.getresponse().read().decode()
    waiting.close()
    assert int(answer.split()[0]) == replaced(program, "worker 0", worker)
    assert program.stat("server.worker_restarts") == 1


def test_counters_survive_the_worker_that_counted(program: Program) -> None:
    program.start()
    for _ in range(5):
        program.get()
    assert program.stat("http.fake.downstream_rq_total") == 5
    for name in ("worker 0", "worker 1"):
        former = program.children()[name]
        os.kill(former, signal.SIGKILL)
        replaced(program, name, former)
    assert program.stat("http.fake.downstream_rq_total") == 5


def test_discovery_and_template_are_replaced_and_the_workers_stay(program: Program) -> None:
    program.start()
    before = program.children()
    os.kill(before["discovery"], signal.SIGKILL)
    replaced(program, "discovery", before["discovery"])
    program.get()
    os.kill(before["template"], signal.SIGKILL)
    replaced(program, "template", before["template"])
    program.get()
    after = program.children()
    assert [after["worker 0"], after["worker 1"]] == [before["worker 0"], before["worker 1"]]
    # A worker whose template is gone is replaced by one from the new template.
    os.kill(before["worker 1"], signal.SIGKILL)
    replaced(program, "worker 1", before["worker 1"])
    wait_for(program.live, "the program to be live")
    program.get()


def test_a_worker_that_is_told_to_leave_finishes_and_is_replaced_at_once(program: Program) -> None:
    program.options[program.options.index("--concurrency") + 1] = "1"
    program.start()
    worker = program.children()["worker 0"]
    slow = program.connect()
    slow.request("GET", "/sleep/1.5")
    wait_for(lambda: program.stat("http.fake.downstream_rq_total"), "the slow request to arrive")
    os.kill(worker, signal.SIGTERM)
    wait_for(lambda: int(program.get().split()[0]) != worker, "an answer of the next worker")
    answer = slow.getresponse()
    assert answer.getheader("connection") == "close"
    assert int(answer.read().split()[0]) == worker
    slow.close()
    wait_for(lambda: not Path(f"/proc/{worker}").exists(), "the worker to leave")


def test_a_worker_that_hangs_is_killed_and_replaced(program: Program) -> None:
    program.settings = {"watchdog": 1.5}
    program.start()
    worker = program.children()["worker 0"]
    os.kill(worker, signal.SIGSTOP)
    replaced(program, "worker 0", worker)
    wait_for(program.live, "the program to be live")
    assert f"worker 0 (pid {worker}) does not answer" in program.log()


def test_workers_that_cannot_live_leave_the_program_not_ready(program: Program) -> None:
    program.settings = {"worker_main": "fake_plane.failing_main"}
    program.launch()
    wait_for(lambda: "exited with status 3" in program.log(), "workers to die")
    wait_for(lambda: not program.open(program.port), "the sockets to be given up")
    assert program.admin("/ready") != "LIVE"
    assert program.log().count("exited with status 3") < 20
    program.signal(signal.SIGTERM)
    assert program.wait() == 0


def test_an_installation_whose_data_plane_cannot_be_imported_ends_the_program(program: Program) -> None:
    program.settings = {"preload": ["there.is.no.such.module"]}
    program.launch()
    assert program.wait() == 1
    assert "the template exited with status 1 before it was ready" in program.log()
    assert "there" in program.log()  # what could not be imported


def test_nothing_is_left_when_the_master_is_killed(program: Program) -> None:
    program.start()
    slow = program.connect()
    slow.request("GET", "/sleep/1.5")
    wait_for(lambda: program.stat("http.fake.downstream_rq_total"), "the slow request to arrive")
    program.signal(signal.SIGKILL)
    program.wait()
    wait_for(lambda: not program.open(program.port), "the address to be free")
    assert slow.getresponse().status == 200
    slow.close()
    wait_for(lambda: not children_of_session(program.pid), "all processes to leave")
    # Another one can take the place, and clears away what is left.
    program.start()
    program.get()


def test_the_address_is_free_for_a_new_master_while_old_workers_finish(program: Program) -> None:
    program.start()
    slow = program.connect()
    slow.request("GET", "/sleep/4")
    wait_for(lambda: program.stat("http.fake.downstream_rq_total"), "the slow request to arrive")
    program.signal(signal.SIGKILL)
    program.wait()
    wait_for(lambda: not program.open(program.port), "the address to be free")
    program.start()
    program.get()
    assert slow.getresponse().status == 200
    slow.close()

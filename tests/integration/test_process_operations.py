"""The real processes under an operator's hands: reload, drain, stop, and all that keeps the program from
starting."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port
from program import Program, children_of_session, cluster, listener, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(params=["epoll", "twistproxy"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Program]:
    one = Program(tmp_path, request.param)
    yield one
    one.clean()


@pytest.fixture
def stopped(tmp_path: Path) -> Program:
    """One that is not expected to start."""
    return Program(tmp_path)


def reload(program: Program) -> None:
    before = program.stat("server.reloads") + program.stat("server.reloads_rejected")
    program.signal(signal.SIGHUP)
    wait_for(
        lambda: program.stat("server.reloads") + program.stat("server.reloads_rejected") > before,
        "the reload to be done",
    )


def test_reload_takes_the_new_configuration_into_use(program: Program) -> None:
    program.start()
    before = program.children()
    kept = program.connect()
    kept.request("GET", "/")
    assert kept.getresponse().read().endswith(b" a 0")
    added = free_port()
    program.write([listener(program.port), listener(added, "b")], [cluster("c")])
    reload(program)
    assert program.get().endswith(" a 1")
    assert program.get(port=added).endswith(" b 1")
    kept.request("GET", "/")
    assert kept.getresponse().read().endswith(b" a 1")
    kept.close()
    program.write([listener(program.port)])
    reload(program)
    assert not program.open(added)
    assert program.get().endswith(" a 0")
    assert program.children() == before
    assert program.stat("server.reloads") == 2


def test_no_request_is_lost_while_reloading(program: Program) -> None:
    program.start()
    done = threading.Event()
    failures: list[Exception] = []
    answers = [0]

    def load() -> None:
        while not done.is_set():
            try:
                assert program.get().split()[1] == "a"
                answers[0] += 1
            except Exception as e:
                failures.append(e)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for round_number in range(10):
            program.write([listener(program.port)], [cluster("c")] * (round_number % 2))
            reload(program)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert answers[0] > 100
    assert program.stat("server.reloads") == 10


@pytest.mark.parametrize("mistake", ["not JSON", "address in use", "refused by the workers"])
def test_a_reload_that_cannot_be_done_changes_nothing(program: Program, mistake: str) -> None:
    program.start()
    before = program.children()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        if mistake == "not JSON":
            program.config.write_text("{")
        elif mistake == "address in use":
            new = free_port()
            program.write([listener(program.port), listener(new, "n"), listener(other.getsockname()[1], "b")])
        else:
            new = free_port()
            layers = [{"name": "s", "static_layer": {"n": 1}}]
            listeners = [listener(program.port), listener(new, "n")]
            program.write(listeners, [cluster("refused by workers")], layers=layers)
        reload(program)
        if mistake == "address in use":
            assert not program.open(new)
            assert "another program uses this address" in program.log()
    assert program.stat("server.reloads_rejected") == 1
    assert all(program.get().endswith(" a 0") for _ in range(20))
    assert program.children() == before
    assert program.admin("/ready") == "LIVE"
    if mistake != "not JSON":
        assert not program.open(new)
    program.write([listener(program.port)], [cluster("c")])
    reload(program)
    assert program.get().endswith(" a 1")


def test_a_worker_that_dies_after_a_reload_comes_back_with_the_new_configuration(program: Program) -> None:
    program.options[program.options.index("--concurrency") + 1] = "1"
    program.start()
    program.write([listener(program.port)], [cluster("c")])
    reload(program)
    worker = program.children()["worker 0"]
    os.kill(worker, signal.SIGKILL)
    answer = program.get()
    assert int(answer.split()[0]) != worker
    assert answer.endswith(" a 1")


def test_runtime_values_reach_every_worker_and_stay(program: Program, tmp_path: Path) -> None:
    """Those of /runtime_modify outlive a worker and a reload; a disk layer follows its link."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "disk").write_text(version)
    link, new = tmp_path / "current", tmp_path / "new"
    link.symlink_to("1")
    layers = [
        {"name": "s", "static_layer": {"static": 5}},
        {"name": "d", "disk_layer": {"symlink_root": str(link)}},
        {"name": "a", "admin_layer": {}},
    ]
    program.write([listener(program.port)], layers=layers)
    program.start()

    def all_say(values: str) -> None:
        """Both workers answer with these values."""

        def said() -> bool:
            answers = [program.get() for _ in range(30)]
            if not all(answer.endswith(values) for answer in answers):
                return False
            return len({answer.split()[0] for answer in answers}) == 2

        wait_for(said, f"both workers to say {values}")

    all_say(" {'static': 5, 'disk': 1}")
    assert program.admin("/runtime_modify?own=7", "POST") == "OK"
    all_say(" {'static': 5, 'disk': 1, 'own': 7}")
    new.symlink_to("2")
    os.replace(new, link)
    all_say(" {'static': 5, 'disk': 2, 'own': 7}")
    os.kill(program.children()["worker 0"], signal.SIGKILL)
    all_say(" {'static': 5, 'disk': 2, 'own': 7}")
    layers[0] = {"name": "s", "static_layer": {"static": 6}}
    program.write([listener(program.port)], layers=layers)
    reload(program)
    all_say(" {'static': 6, 'disk': 2, 'own': 7}")


def test_sigterm_finishes_what_is_in_flight(program: Program) -> None:
    program.start()
    idle = program.connect()
    slow = program.connect()
    slow.request("GET", "/sleep/1.5")
    wait_for(lambda: program.stat("http.fake.downstream_rq_total"), "the slow request to arrive")
    program.signal(signal.SIGTERM)
    wait_for(lambda: not program.open(program.port), "the listener to close")
    assert program.admin("/ready") == "DRAINING"
    answer = slow.getresponse()
    assert answer.status == 200
    assert answer.getheader("connection") == "close"
    assert program.wait() == 0
    idle.close()
    slow.close()
    assert children_of_session(program.pid) == {}
    assert not program.run_dir.exists()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_stops_at_once(program: Program, second: signal.Signals) -> None:
    program.start()
    slow = program.connect()
    slow.request("GET", "/sleep/60")
    wait_for(lambda: program.stat("http.fake.downstream_rq_total"), "the slow request to arrive")
    program.signal(signal.SIGTERM)
    wait_for(lambda: program.admin("/ready") == "DRAINING", "the drain to begin")
    program.signal(second)
    assert program.wait() == 0
    slow.close()
    wait_for(lambda: not children_of_session(program.pid), "all processes to leave")


def test_the_drain_time_ends_a_drain(program: Program) -> None:
    program.options[program.options.index("--drain-time-s") + 1] = "1"
    program.start()
    slow = program.connect()
    slow.request("GET", "/sleep/60")
    wait_for(lambda: program.stat("http.fake.downstream_rq_total"), "the slow request to arrive")
    program.signal(signal.SIGTERM)
    assert program.wait() == 0
    slow.close()


def test_admin_pages_reach_all_processes(program: Program) -> None:
    program.start()
    assert f"a::127.0.0.1:{program.port}" in program.admin("/listeners")
    assert '"stat_prefix": "fake"' in program.admin("/config_dump")
    assert "worker: debug" in program.admin("/logging?worker=debug", "POST")
    program.get()
    program.admin("/reset_counters", "POST")
    assert program.stat("http.fake.downstream_rq_total") == 0
    program.get()
    assert program.stat("http.fake.downstream_rq_total") == 1
    program.admin("/drain_listeners", "POST")
    wait_for(lambda: not program.open(program.port), "the listener to close")
    assert program.admin("/quitquitquit", "POST") == "OK"
    assert program.wait() == 0


def test_sigusr1_leaves_everything_running(program: Program) -> None:
    program.start()
    before = program.children()
    program.signal(signal.SIGUSR1)
    program.get()
    assert program.admin("/ready") == "LIVE"
    assert program.children() == before


def test_the_terminals_signals_do_not_reach_the_workers(program: Program) -> None:
    program.start()
    before = program.children()
    for pid in before.values():
        os.kill(pid, signal.SIGHUP)
        os.kill(pid, signal.SIGINT)
    program.get()
    assert program.children() == before


def test_it_runs_as_a_daemon(program: Program) -> None:
    pidfile = program.directory / "pid"
    started = program.run("--pidfile", str(pidfile), "--logfile", str(program.directory / "log"))
    assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
    pid = int(pidfile.read_text())
    session = os.getsid(pid)
    try:
        wait_for(
            lambda: "workers are ready" in (program.directory / "log").read_text(), "the daemon to be ready"
        )
        assert program.get().endswith(" a 0")
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the daemon to stop")
        wait_for(lambda: not children_of_session(session), "all processes to leave")
    finally:
        for one in [pid, *children_of_session(session).values()]:
            try:
                os.kill(one, signal.SIGKILL)
            except ProcessLookupError:
                pass
    assert not pidfile.exists()


@pytest.mark.parametrize("twistd", [("-n", "--pidfile="), ("--pidfile=daemon.pid",)])
@pytest.mark.parametrize("reuse_port", [False, True])
def test_a_port_in_use_is_one_clear_line(stopped: Program, twistd: tuple[str, ...], reuse_port: bool) -> None:
    with socket.socket() as other:
        if reuse_port:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", stopped.port))
        other.listen()
        ended = stopped.run(*twistd)
    line = f"cannot listen on 127.0.0.1:{stopped.port} for listener 'a': another program uses this address"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"twistproxy: {line}\n")


def test_the_admin_port_in_use_is_one_clear_line(stopped: Program) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", stopped.admin_port))
        other.listen()
        ended = stopped.run()
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "another program uses this address" in ended.stderr


def test_no_permission_is_one_clear_line(stopped: Program) -> None:
    stopped.write([{**listener(1), "address": {"pipe": {"path": "/proc/socket"}}}])
    ended = stopped.run()
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("twistproxy: cannot listen on /proc/socket for listener 'a': ")


def test_a_missing_file_is_one_clear_line(stopped: Program) -> None:
    stopped.config.unlink()
    ended = stopped.run()
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"twistproxy: {stopped.config}: cannot read it: No such file or directory\n"


def test_a_configuration_that_no_worker_takes_ends_the_program(stopped: Program) -> None:
    stopped.write([listener(stopped.port)], [cluster("refused by workers")])
    ended = stopped.run()
    assert ended.returncode == 1
    assert ended.stderr == f"twistproxy: {stopped.config}: RuntimeError: no such cluster, please\n"


def test_validate_mode_says_ok_and_binds_nothing(stopped: Program) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", stopped.port))
        other.listen()
        stopped.options += ["--mode", "validate"]
        ended = stopped.run()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"configuration '{stopped.config}' OK\n"


def test_two_programs_cannot_share_a_run_directory(stopped: Program, tmp_path: Path) -> None:
    stopped.start()
    try:
        second = Program(tmp_path / "..")
        second.config = tmp_path / "second.json"
        second.write([listener(second.port)])
        second.options = stopped.options
        ended = second.run()
        assert ended.returncode == 1
        assert "another twistproxy uses it" in ended.stderr
        assert "Traceback" not in ended.stderr
    finally:
        stopped.clean()


def test_worker_titles_survive_in_ps(program: Program) -> None:
    program.start()
    listed = subprocess.run(
        ["ps", "-o", "args=", "-s", str(program.pid)], capture_output=True, text=True, check=True
    ).stdout
    for title in ("template", "discovery", "worker 0", "worker 1"):
        assert f"twistproxy: {title}" in listed


def test_a_worker_explains(program: Program) -> None:
    program.start()
    assert program.admin("/explain?path=/x") == "asked for /x"

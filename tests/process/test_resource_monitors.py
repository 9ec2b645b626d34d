"""Where pressures come from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from twistproxy.process import resource_monitors
from twistproxy.process.resource_monitors import (
    CgroupMemory,
    Cpu,
    Heap,
    container_times,
    host_times,
    memory_of,
)


def test_memory_of_processes() -> None:
    own = memory_of(os.getpid())
    assert own > 1 << 20
    assert memory_of(2**22 + 1) == 0  # there is none
    heap = Heap(own, lambda: [os.getpid(), os.getpid()])
    assert heap.pressure() == pytest.approx(2.0, rel=0.2)


def test_memory_is_counted_once() -> None:
    """What a forked process shares with its parent belongs to each by half."""
    block = bytearray(64 << 20)
    before = memory_of(os.getpid())
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    both = memory_of(os.getpid()) + memory_of(pid)
    os.write(go[1], b"x")
    os.waitpid(pid, 0)
    for descriptor in (*ready, *go):
        os.close(descriptor)
    assert both < before + len(block) / 2


def test_cpu(tmp_path: Path) -> None:
    path = tmp_path / "stat"
    path.write_text("cpu  10 10 10 70 50 50 50 0 0 0\ncpu0 1 2 3\n")
    cpu = Cpu(lambda: host_times(str(path)))
    path.write_text("cpu  40 20 20 120 90 90 90 0 0 0\n")
    assert cpu.pressure() == pytest.approx(0.5 * 0.05)
    path.write_text("cpu  140 20 20 120 0 0 0 0 0 0\n")
    assert cpu.pressure() == pytest.approx(0.05 + 0.95 * 0.5 * 0.05)
    with pytest.raises(ValueError, match="erroneous"):
        cpu.pressure()


@pytest.mark.parametrize(
    ("quota", "cpus", "cores"),
    [("max 100000", "0-3", 4.0), ("150000 100000", "0-3", 1.5), ("900000 100000", "0,2-3", 3.0)],
)
def test_cpu_of_a_container(tmp_path: Path, quota: str, cpus: str, cores: float) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (tmp_path / "cpu.max").write_text(quota + "\n")
    (tmp_path / "cpuset.cpus.effective").write_text(cpus + "\n")
    assert container_times(lambda: 10.0, f"{tmp_path}/") == (2.5, 10.0 * cores)


def test_cpu_of_a_container_of_version_1(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        container_times(lambda: 10.0, f"{tmp_path}/")
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpuacct.usage").write_text("2500000000\n")
    (tmp_path / "cpu" / "cpu.shares").write_text("2000\n")
    assert container_times(lambda: 10.0, f"{tmp_path}/") == (2.5, 20.0)


@pytest.mark.parametrize(
    ("limit", "own", "expected"), [("400", 0, 0.25), ("max", 0, 0.0), ("max", 200, 0.5), ("400", 200, 0.5)]
)
def test_control_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, own: int, expected: float
) -> None:
    used, most = tmp_path / "used", tmp_path / "most"
    monkeypatch.setattr(
        resource_monitors, "_MEMORY", ((str(tmp_path / "no"), str(most)), (str(used), str(most)))
    )
    with pytest.raises(OSError, match="no control group"):
        CgroupMemory(own).pressure()
    used.write_text("100\n")
    most.write_text(f"{limit}\n")
    assert CgroupMemory(own).pressure() == expected

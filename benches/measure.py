"""What the kernel knows of httpd's children, and what the machine is."""
import contextlib
import os
import pathlib
import platform
import re
import subprocess
import sys

TICKS = os.sysconf("SC_CLK_TCK")
AUTOGROUP = pathlib.Path("/proc/sys/kernel/sched_autogroup_enabled")


@contextlib.contextmanager
def one_scheduling_group():
    """All that is started from now on, as services in systemd's slice are: Linux would else make a group of each session, and
    each PostgreSQL backend is one (README, Speed). A setting of the whole machine, which is put back."""
    before = AUTOGROUP.read_text().strip() if AUTOGROUP.exists() else "0"
    if before != "0":
        try:
            AUTOGROUP.write_text("0")
        except OSError as error:
            print(f"bench: scheduling groups stay: {error}", file=sys.stderr)
    try:
        yield
    finally:
        if before != "0":
            with contextlib.suppress(OSError):
                AUTOGROUP.write_text(before)


def has_groups():
    return AUTOGROUP.exists() and AUTOGROUP.read_text().strip() != "0"


def cpu_seconds(server):
    """CPU time of its children so far, by /proc/PID/stat."""
    stats = [pathlib.Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split() for child in server.children()]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / TICKS


def private_kib(server):
    """Private memory of its first child, the one that answers."""
    rollup = pathlib.Path(f"/proc/{server.children()[0]}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))


def cpu():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    flags = re.search(r"^flags\s*: (.*)", text, re.M)
    model = re.search(r"^model name\s*: (.*)", text, re.M)
    return (model[1] if model else platform.machine()), set(flags[1].split() if flags else ())


def has_avx512():
    return "avx512f" in cpu()[1]


def has_sha():
    return "sha_ni" in cpu()[1]


def machine(django, iterations, program, postgres):
    """One line: what was measured on, and how busy it was."""
    said = lambda *command: subprocess.check_output(command, text=True)
    httpd = re.search(r"Apache/[\d.]+", said(program, "-v"))[0]
    return (
        f"{cpu()[0]}, {os.cpu_count()} cores{', SHA-NI' * has_sha()}{', AVX-512' * has_avx512()}; "
        f"Linux {platform.release()}, {httpd}, PostgreSQL {postgres.split()[0]}, Django {django} with {int(iterations):,} "
        f"iterations, Python {platform.python_version()}{', autogroups' * has_groups()}; load average before {os.getloadavg()[0]:.1f}"
    )

"""What the benchmarks share: timed commands, a smelt project, and landing an extract's files where a peer looks."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from typing import NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[1] / "target"))
ENTITIES = ["customers", "products", "orders", "order_items", "payments", "shipments"]


class Timed(NamedTuple):
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


def timed(command: list, **options) -> Timed:
    """What a command took, which must succeed, and its standard output."""
    started = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True, **options)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"failed: {command}\n{output}")
    return Timed(time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, output)


def python_of(venv_script: pathlib.Path) -> pathlib.Path:
    """The interpreter of an environment that its script makes when it is needed."""
    return pathlib.Path(subprocess.run([venv_script], check=True, capture_output=True, text=True).stdout.strip())


def link_files(extract: pathlib.Path | None, folder: pathlib.Path) -> None:
    """Makes FOLDER/<entity>/ hold links to the extract's files of each entity, which are called by its name or are in a
    folder of its name. Files that came before are called otherwise, and are left out, as a landing zone would."""
    for entity in ENTITIES:
        shutil.rmtree(folder / entity, ignore_errors=True)
        (folder / entity).mkdir(parents=True)
        for file in sorted(extract.rglob("*.jsonl")) if extract else []:
            if entity in (file.stem, file.parent.name):
                (folder / entity / file.name).symlink_to(file.resolve())


def file_sizes(folder: pathlib.Path) -> dict[str, int]:
    return {str(file.relative_to(folder)): file.stat().st_size for file in folder.rglob("*") if file.is_file()}


class Smelt:
    """A project of the reference warehouse."""

    def __init__(self, binary: pathlib.Path, project: pathlib.Path):
        self.binary, self.project, self.lake = binary, project, project / "lake"

    def command(self, *arguments) -> Timed:
        return timed([self.binary, "--project", self.project, "--quiet", *arguments])

    @classmethod
    def create(cls, binary: pathlib.Path, project: pathlib.Path) -> "Smelt":
        shutil.rmtree(project, ignore_errors=True)
        timed([binary, "--quiet", "init", project])
        return cls(binary, project)

    def take_in(self, extract: pathlib.Path) -> tuple[float, float, dict]:
        """Seconds to land an extract and to run, those of the processors, and the run's report."""
        landing = self.command("ingest", extract)
        running = self.command("--json", "run")
        cpu_seconds = landing.cpu_seconds + running.cpu_seconds
        return landing.seconds + running.seconds, cpu_seconds, json.loads(running.output)

    def export(self, folder: pathlib.Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        timed([self.binary, "--project", self.project, "export", folder], stderr=subprocess.DEVNULL)  # lists the files

    def rebuilt_copy(self, project: pathlib.Path) -> "Smelt":
        """A copy of which every table is made anew from raw. Stored files never change, so that links will do."""
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(self.project, project, copy_function=os.link)
        copy = Smelt(self.binary, project)
        copy.command("rebuild")
        return copy

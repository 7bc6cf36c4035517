"""The dbt project in dbt/ as the peer of daily increments.

Each day's files are landed in the project's `incoming` folder; `dbt run` reads those and no others. The parsing functions
are deployed to the database beforehand. No data tests are run and nothing is asked of dbt but its tables.
"""

import json
import pathlib
import shutil
import subprocess

from measure import HERE, Timed, link_files, timed

PROJECT = HERE / "dbt"


class Dbt:
    def __init__(self, python: pathlib.Path, project: pathlib.Path, lookback_days: int = 0):
        self.python, self.project = python, project
        self.variables = ["--vars", json.dumps({"lookback_days": lookback_days})] if lookback_days else []

    @property
    def database(self) -> pathlib.Path:
        return self.project / "warehouse.duckdb"

    @classmethod
    def create(cls, python: pathlib.Path, project: pathlib.Path) -> "Dbt":
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(PROJECT, project)
        peer = cls(python, project)
        values = (HERE / "duckdb_values.sql").read_text()
        keys = (HERE / "duckdb_gold.sql").read_text().split("CREATE TEMP", 1)[0]
        deploy = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute(sys.argv[2])"
        subprocess.run([python, "-c", deploy, peer.database, values + keys], check=True)
        peer.parse()
        return peer

    def copy(self, project: pathlib.Path, lookback_days: int) -> "Dbt":
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(self.project, project, symlinks=True)
        copy = Dbt(self.python, project, lookback_days)
        copy.parse()
        return copy

    def parse(self) -> None:
        """So that runs find the project parsed, with the same variables."""
        self.command("parse")

    def take_in(self, extract: pathlib.Path | None, first: bool = False) -> tuple[float, float, float]:
        """Seconds to make the models follow an extract (or nothing), those of the processors, and of the models alone,
        without dbt's start and the database's last checkpoint."""
        incoming = self.project / "incoming"
        link_files(extract, incoming)
        for folder in incoming.iterdir():
            (folder / "none.jsonl").touch()  # an entity without files would be an error
        run = self.command("run", *([] if first else ["--exclude", "dim_date"]))
        results = json.loads((self.project / "target" / "run_results.json").read_text())
        return run.seconds, run.cpu_seconds, results["elapsed_time"]

    def command(self, verb: str, *arguments: str) -> Timed:
        options = ["--no-send-anonymous-usage-stats", "--no-version-check", "--log-level-file", "none", "--no-use-colors"]
        program = self.python.parent / "dbt"
        return timed([program, *options, verb, *arguments, *self.variables], cwd=self.project)

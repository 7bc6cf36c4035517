"""The dbt project in dbt/ as the peer of daily increments.

Each day's files are landed in the project's `incoming` folder; `dbt run` reads those and no others. The parsing functions
are deployed to the database beforehand. `dbt test` has the rules that smelt tests in every run: those of template/models and
template/tests (but for the mark of deleted rows), and those of the contracts.
"""

import json
import pathlib
import re
import shutil
import subprocess

from measure import HERE, Timed, link_files, timed

PROJECT = HERE / "dbt"
TEMPLATE = HERE.parents[1] / "template"


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
        copy_rules(project)
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

    def test(self) -> tuple[float, int, int]:
        """Seconds of the rules alone, without dbt's start, how many there are, and how many do not hold."""
        self.command("test")
        results = json.loads((self.project / "target" / "run_results.json").read_text())
        failed = sum(result["status"] != "pass" for result in results["results"])
        return results["elapsed_time"], len(results["results"]), failed

    def command(self, verb: str, *arguments: str) -> Timed:
        options = ["--no-send-anonymous-usage-stats", "--no-version-check", "--log-level-file", "none", "--no-use-colors"]
        program = self.python.parent / "dbt"
        return timed([program, *options, verb, *arguments, *self.variables], cwd=self.project)


def copy_rules(project: pathlib.Path) -> None:
    for schema in TEMPLATE.glob("models/*/schema.yml"):
        shutil.copy(schema, project / "models" / "gold" / f"{schema.parent.name}.yml")
    for test in TEMPLATE.glob("tests/*.sql"):
        # Deleted rows stay there, with a mark.
        live = r"(SELECT * FROM {{ ref(\1) }} WHERE NOT is_deleted)"
        sql = re.sub(r"\{\{ source\('staging', ('\w+')\) \}\}", live, test.read_text())
        (project / "tests" / test.name).write_text(sql)

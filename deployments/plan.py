"""The plan: which deployments there are, from prefect.yaml and the problems.

``python -m deployments.plan`` writes the list at the end of prefect.yaml anew.

What a deployment of a flow is stands in prefect.yaml, under ``definitions``; when it runs stands in
the file of its problem. Whoever adds a problem writes no second file: `plan` reads the folder of
the problems, and what prefect.yaml lists for the command ``prefect deploy`` is written from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from prefect import Flow
from pydantic import BaseModel, ConfigDict, ValidationError

from deployments.deployed import deployed_flows
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.settings import Settings, get_settings

# What a project without a file of its own has.
FILE = Path(__file__).with_name("prefect.yaml")
_LIST = "\ndeployments:"


class ConcurrencyLimit(BaseModel):
    """How many runs of a deployment there may be at once, and what becomes of a further one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]


class WorkPoolReference(BaseModel):
    """The work pool of a deployment, and what the deployment changes about its jobs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    job_variables: dict[str, Any] = {}


class Definition(BaseModel):
    """What every deployment of one flow has in common, as it stands in prefect.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entrypoint: str
    description: str
    tags: tuple[str, ...]
    concurrency_limit: ConcurrencyLimit
    enforce_parameter_schema: bool
    work_pool: WorkPoolReference


class Planned(BaseModel):
    """One deployment: a flow for a problem.

    Attributes
    ----------
    flow : str
        Name of the flow; its file in ``flows/`` and its function have the same.
    problem : str
        Name of the problem, and of the deployment.
    definition : Definition
        What all deployments of this flow have in common.
    cron : str or None
        When it runs by itself.
    timezone : str
        In which the hours of `cron` are meant.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    flow: str
    problem: str
    definition: Definition
    cron: str | None
    timezone: str

    @property
    def name(self) -> str:
        """The name by which Prefect knows the deployment."""
        return f"{self.flow}/{self.problem}"

    def load(self) -> Flow[..., Any]:
        """Import the flow.

        Raises
        ------
        OutsideError
            If its file has no flow of this name, or the flow takes no problem.
        """
        flow = getattr(import_module(f"flows.{self.flow}"), self.flow, None)
        if not isinstance(flow, Flow) or "problem" not in flow.parameters.properties:
            raise OutsideError(
                f"flows/{self.flow}.py has no flow {self.flow!r} with a parameter 'problem'; "
                f"define it, or take {self.flow!r} out of prefect.yaml."
            )
        return flow


def plan(settings: Settings) -> list[Planned]:
    """Return the deployments of every flow for every problem.

    Raises
    ------
    OutsideError
        If a flow has no definition in prefect.yaml, or a definition cannot be used.
    ProblemError
        If the file of a problem cannot be used.
    """
    known = definitions(_file(settings))
    flows = deployed_flows()
    if missing := flows - known.keys():
        raise OutsideError(
            f"prefect.yaml does not define the flow {min(missing)!r} of flows/{min(missing)}.py; "
            "add it under definitions.flows."
        )
    files = sorted(settings.problems_dir.glob("*.yaml"))
    problems = [load_problem(file) for file in files]
    return [
        _planned(name, definition, problem)
        for problem in problems
        for name, definition in known.items()
        if name in flows
    ]


def _file(settings: Settings) -> Path:
    own = settings.project_dir / "prefect.yaml"
    return own if own.is_file() else FILE


def definitions(file: Path = FILE) -> dict[str, Definition]:
    """Return the definition of each flow in prefect.yaml: name -> definition.

    Raises
    ------
    OutsideError
        If one of them cannot be used.
    """
    from ruamel.yaml import YAML

    written = YAML(typ="safe").load(file)["definitions"]["flows"]
    try:
        return {name: Definition.model_validate(value) for name, value in written.items()}
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise OutsideError(
            f"{file}, definitions.flows: {where} is {first['input']!r}: {first['msg']}."
        ) from None


def _planned(flow: str, definition: Definition, problem: Problem) -> Planned:
    schedule = problem.schedule
    return Planned(
        flow=flow,
        problem=problem.name,
        definition=definition,
        # A flow whose name is no key of the schedule runs on demand.
        cron=schedule.model_dump().get(flow),
        timezone=schedule.timezone,
    )


def listed(deployments: Sequence[Planned], text: str) -> str:
    """Return the text of prefect.yaml with these deployments at its end."""
    entries = "".join(_entry(planned) for planned in deployments)
    return text.partition(_LIST)[0] + f"{_LIST}\n{entries}"


def _entry(planned: Planned) -> str:
    lines = [
        f"  - <<: *{planned.flow}",
        f"    name: {planned.problem}",
        f"    parameters: {{problem: {planned.problem}}}",
    ]
    if planned.cron is not None:
        lines.append(f'    schedules: [{{cron: "{planned.cron}", timezone: {planned.timezone}}}]')
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    project = get_settings()
    text = listed(plan(project), _file(project).read_text())
    (project.project_dir / "prefect.yaml").write_text(text)

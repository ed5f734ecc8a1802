"""How a dashboard is drawn: rows of panels, the same controls on all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as look
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Panel,
    VariableRefresh,
)

from perennial.prometheus import series

# The data source of compose/grafana, and the one that kube-prometheus-stack makes.
_PROMETHEUS = DataSourceRef(type_val="prometheus", uid="prometheus")
_HEIGHT = 8
_SMALL = 4
_FILL = 15.0
_FULL = 70.0
_TAG = "perennial"
_REFRESH = "30s"


@dataclass(frozen=True)
class Query:
    """What a panel asks Prometheus, and what a line is called.

    Attributes
    ----------
    expression : str
        In PromQL. ``$namespace`` and ``$problem`` are what the person who looks has chosen.
    legend : str
        With ``{{label}}`` for a label's value.
    """

    expression: str
    legend: str


@dataclass(frozen=True)
class Graph:
    """Lines over time, or areas on top of each other.

    Attributes
    ----------
    title, description : str
        What is drawn, and what to see in it.
    unit : str
        Grafana's name of the unit.
    queries : sequence of Query
        What is drawn.
    width : int
        Of 24 columns.
    stacked : bool
        Whether the values add up to a whole.
    points : bool
        Whether each value stands for itself, with no line to the next.
    from_zero : bool
        Whether the distance to zero matters; if not, small differences are what one looks for.
    reaches : float or None
        Up to which value the axis reaches at least.
    """

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    width: int = 12
    stacked: bool = False
    points: bool = False
    from_zero: bool = True
    reaches: float | None = None

    def build(self) -> timeseries.Panel:
        """Return the panel for Grafana."""
        panel = (
            timeseries.Panel()
            .title(self.title)
            .description(self.description)
            .datasource(_PROMETHEUS)
            .unit(self.unit)
            .span(self.width)
            .height(_HEIGHT)
            .fill_opacity(self._fill())
            .line_width(1 if self.stacked else 2)
            .tooltip(look.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
            .legend(
                look.VizLegendOptions()
                .display_mode(LegendDisplayMode.LIST)
                .placement(LegendPlacement.BOTTOM)
                .show_legend(True)
            )
        )
        if self.from_zero:
            panel = panel.axis_soft_min(0)
        if self.reaches is not None:
            panel = panel.axis_soft_max(self.reaches)
        if self.stacked:
            panel = panel.stacking(look.StackingConfig().mode(StackingMode.NORMAL).group("A"))
        if self.points:
            panel = panel.draw_style(GraphDrawStyle.POINTS).point_size(6)
        for letter, query in zip("ABCDEFG", self.queries, strict=False):
            panel = panel.with_target(_target(query).range().ref_id(letter))
        return panel

    def _fill(self) -> float:
        if self.stacked:
            return _FULL
        return _FILL if self.from_zero else 0.0


@dataclass(frozen=True)
class Number:
    """One number for each line of a query, as it is now.

    Attributes
    ----------
    title, description : str
        What it is, and when to worry.
    unit : str
        Grafana's name of the unit.
    query : Query
        What is shown.
    width : int
        Of 24 columns.
    """

    title: str
    description: str
    unit: str
    query: Query
    width: int = 6

    def build(self) -> stat.Panel:
        """Return the panel for Grafana."""
        return (
            stat.Panel()
            .title(self.title)
            .description(self.description)
            .datasource(_PROMETHEUS)
            .unit(self.unit)
            .span(self.width)
            .height(_SMALL)
            .with_target(_target(self.query).instant().ref_id("A"))
        )


@dataclass(frozen=True)
class Board:
    """A dashboard.

    Attributes
    ----------
    name : str
        Of its file, and of its address in Grafana.
    title, description : str
        What it is called, and what it shows.
    panels : sequence of Number or Graph
        In reading order.
    since : str
        From when it shows, as Grafana writes it.
    """

    name: str
    title: str
    description: str
    panels: Sequence[Number | Graph]
    since: str

    def json(self) -> str:
        """Return the dashboard as Grafana reads it."""
        drawn = (
            dashboard.Dashboard(self.title)
            .uid(f"perennial-{self.name}")
            .description(self.description)
            .tags([_TAG])
            .time(self.since, "now")
            .refresh(_REFRESH)
            .timezone("browser")
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .link(dashboard.DashboardLink("Perennial").tags([_TAG]).include_vars(True))
            .with_variable(_variable("namespace", 'up{job=~"(.+/)?(serving|flows)"}'))
            .with_variable(_variable("problem", series("perennial_production_version")))
        )
        for panel in self.panels:
            drawn = drawn.with_panel(panel.build())
        found = drawn.build()
        _number(found.panels or [])
        content = json.loads(JSONEncoder().encode(found))
        content["annotations"] = {"list": [_promotions()]}
        return json.dumps(content, indent=2, sort_keys=True) + "\n"


def _number(panels: Sequence[object]) -> None:
    for number, panel in enumerate(panels, start=1):
        if isinstance(panel, Panel):
            panel.id_val = number


def _promotions() -> dict[str, object]:
    """Return what marks the moments at which another version became Production.

    The builders do not know how to take the moment from a value, or how to word a title.
    """
    return {
        "name": "Promotions",
        "enable": True,
        "iconColor": "purple",
        "datasource": {"type": _PROMETHEUS.type_val, "uid": _PROMETHEUS.uid},
        "expr": f"1000 * max by (problem) ({series('perennial_production_since_timestamp_seconds')}"
        '{namespace=~"$namespace",problem=~"$problem"})',
        "useValueForTime": True,
        "titleFormat": "Another version of {{problem}} is Production",
    }


def _variable(name: str, metric: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(_PROMETHEUS)
        .query(f"label_values({metric}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .multi(True)
        .all_value(".*")
    )


def _target(query: Query) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .expr(query.expression)
        .legend_format(query.legend)
        .datasource(_PROMETHEUS)
    )

"""`python -m tools.dashboards`: write the dashboards that Grafana reads."""

from tools.dashboards import BOARDS, FOLDER

FOLDER.mkdir(exist_ok=True)
for board in BOARDS:
    (FOLDER / f"{board.name}.json").write_text(board.json())

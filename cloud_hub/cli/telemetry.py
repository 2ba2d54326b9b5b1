"""`headland telemetry`."""

from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, progress_console, show_table, size
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect

app = group("What devices measured.")


@app.command(epilog='Example: headland telemetry query "SELECT count(*) FROM inference"')
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT; each stream is a table.")],
    limit: Annotated[int, typer.Option(help="Most rows to show.")] = 1000,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Ask the stored telemetry a question in SQL (DuckDB's)."""
    with connect(workspace) as ws:
        result = ws.query(sql, limit)
    values = [dict(zip(result.columns, row, strict=True)) for row in result.rows]
    show_table(values, result.columns, result.rows)
    if result.truncated:
        progress_console.print(f"only the first {limit} rows: there are more (--limit)")


@app.command(epilog="Example: headland telemetry streams")
def streams(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show the streams and what is stored of each."""
    with connect(workspace) as ws:
        found = ws.streams()
    rows = [(s.stream, s.rows, size(s.size_bytes), s.files) for s in found]
    show_table(found, ["stream", "rows", "size", "files"], rows)

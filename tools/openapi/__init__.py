"""What checks the description of the API: Redocly and Spectral, from npm."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
PROGRAMS = FOLDER / "node_modules" / ".bin"

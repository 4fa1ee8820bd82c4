"""Photograph a report page: `python docs/picture.py out/mnist.html docs/images/report.png`.

Needs Chromium or Chrome on the path. The picture gets few colours, so that it stays small.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTH, HEIGHT = 1000, 1150
QUIET = [  # no window, no sandbox (root has none), no call home, and a page that has settled
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-first-run",
    "--virtual-time-budget=5000",
]


def main() -> None:
    parser = argparse.ArgumentParser(description="Photograph the top of a report page.")
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=WIDTH, help="of the window, in CSS pixels")
    parser.add_argument("--height", type=int, default=HEIGHT)
    parser.add_argument("--scale", type=float, default=1.5, help="pixels to a CSS pixel")
    chosen = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"no browser found; looked for {', '.join(BROWSERS)}")
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.png"
        command = [
            browser,
            *QUIET,
            f"--user-data-dir={folder}/profile",
            f"--window-size={chosen.width},{chosen.height}",
            f"--force-device-scale-factor={chosen.scale}",
            f"--screenshot={raw}",
            chosen.page.resolve().as_uri(),
        ]
        subprocess.run(command, check=True, capture_output=True)
        with Image.open(raw) as seen:
            picture = seen.convert("RGB").quantize(128, dither=Image.Dither.NONE)
        chosen.picture.parent.mkdir(parents=True, exist_ok=True)
        picture.save(chosen.picture, optimize=True)
    print(f"wrote {chosen.picture}, {chosen.picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

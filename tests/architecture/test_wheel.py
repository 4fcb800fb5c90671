"""The wheel holds the product's four packages and nothing of the workshop."""

import glob
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_wheel_holds_the_four_packages_only(tmp_path: Path) -> None:
    # Hatchling is in the environment: built with it, offline.
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/", 1)[0] for name in names}
    assert tops == {"ledger", "indexer", "api", "cli", "truetonne-0.1.0.dist-info"}
    licence = "truetonne-0.1.0.dist-info/licenses/LICENSE"
    # Hatchling looks for it by a pattern that begins with the folder's own name.
    assert licence in names or glob.escape(str(ROOT)) != str(ROOT)
    assert "api/verifier/verify.html" in names
    for name in (
        "templates/parts/readings.html",
        "texts/zh.toml",
        "static/app.css",
        "static/vendor/htmx.min.js",
    ):
        assert f"api/pages/{name}" in names
    assert "api/certificates/fonts/NotoSansSC-Regular.ttf" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]

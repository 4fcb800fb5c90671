"""The toolchain keeps its promises: hashed locks without addresses, a shell any machine has."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from scripts.toolchain import pytest_plugin
from scripts.toolchain.brownie import network_trouble
from scripts.toolchain.brownie_home import take_own_port
from tests.support.waiting import runs, until

ROOT = Path(__file__).resolve().parents[2]
PYTHON_LOCKS = [
    "requirements.lock",
    "scripts/toolchain/uv.lock",
    "scripts/toolchain/node.lock",
    "scripts/toolchain/prove.lock",
]
ADDRESS = re.compile(
    r"https?://|--index-url|--extra-index-url|--find-links|file:|/(home|root|tmp)/"
)


def requirements(lock: str) -> list[str]:
    """Return the logical lines of a requirements lock, without comments."""
    lines = [line for line in lock.splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").split("\n")


@pytest.mark.parametrize("name", PYTHON_LOCKS)
def test_python_lock_carries_no_address(name: str) -> None:
    found = ADDRESS.findall((ROOT / name).read_text())
    assert found == []


@pytest.mark.parametrize("name", PYTHON_LOCKS)
def test_every_python_requirement_is_pinned_and_hashed(name: str) -> None:
    lines = [line for line in requirements((ROOT / name).read_text()) if line.strip()]
    assert lines
    for line in lines:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,0-9-]+\])?==\S+", line), line
        assert "--hash=sha256:" in line, line


def test_npm_lock_carries_hashes_and_no_address() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    packages.pop("")
    assert packages
    for name, package in packages.items():
        assert "resolved" not in package, name
        assert package["integrity"].startswith("sha512-"), name


def test_npm_lock_answers_to_package_json() -> None:
    wanted = json.loads((ROOT / "package.json").read_text())
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"][""]
    for group in ("dependencies", "devDependencies"):
        assert locked.get(group, {}) == wanted.get(group, {})


def test_python_lock_has_every_dependency_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [g for n, g in project["dependency-groups"].items() if not n.startswith("bootstrap")]
    wanted = [*project["project"]["dependencies"], *(item for group in groups for item in group)]
    names = {re.split(r"[\[<>=!~; ]", item)[0].lower().replace("_", "-") for item in wanted}
    locked = {
        re.split(r"[\[=]", line)[0]
        for line in requirements((ROOT / "requirements.lock").read_text())
        if line.strip()
    }
    assert names - locked == set(), "run ./dev lock"


def test_the_product_imports_each_of_its_dependencies() -> None:
    """What only tests and scripts need stands in a group: a production install has none of it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[\[<>=!~; ]", item)[0].lower() for item in project["dependencies"]]
    modules: dict[str, set[str]] = {name: set() for name in names}
    for module, packages in packages_distributions().items():
        for package in packages:
            modules.setdefault(package.lower().replace("_", "-"), set()).add(module)
    imported = {
        line.split()[1].split(".")[0]
        for top in ("ledger", "indexer", "api", "cli")
        for file in (ROOT / top).rglob("*.py")
        for line in file.read_text().splitlines()
        if line.lstrip().startswith(("import ", "from "))
    }
    for_others = {
        "fonttools",  # fpdf2's, whose version is part of a certificate's bytes
    }
    assert {name for name in names if not modules[name] & imported} == for_others


@pytest.mark.parametrize("shell", ["dash", "sh", "bash"])
@pytest.mark.parametrize("script", ["dev", "scripts/toolchain/solc/solc-v0.8.37"])
def test_shell_scripts_parse(shell: str, script: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} on this machine")
    subprocess.run([shell, "-n", str(ROOT / script)], check=True)


def test_one_compiler_and_one_evm_version_everywhere() -> None:
    brownie = yaml.safe_load((ROOT / "brownie-config.yaml").read_text())["compiler"]
    forge = tomllib.loads((ROOT / "foundry.toml").read_text())["profile"]["default"]
    networks = yaml.safe_load((ROOT / "scripts/toolchain/networks.yaml").read_text())
    anvil = networks["development"][0]["cmd_settings"]
    npm = json.loads((ROOT / "package.json").read_text())["devDependencies"]["solc"]
    assert brownie["solc"]["version"] == npm == Path(forge["solc"]).name.removeprefix("solc-v")
    assert brownie["evm_version"] == forge["evm_version"] == anvil["evm_version"]
    assert brownie["solc"]["optimizer"] == {
        "enabled": forge["optimizer"],
        "runs": forge["optimizer_runs"],
    }
    assert (ROOT / forge["solc"]).is_file()


def test_suites_without_the_optimizer_have_no_code_of_ours_within_them() -> None:
    """Decision 0066: of the contracts they know interfaces alone; what they test is deployed by its name."""
    forge = tomllib.loads((ROOT / "foundry.toml").read_text())["profile"]["default"]
    (restriction,) = forge["compilation_restrictions"]
    folders = restriction["paths"].removeprefix("tests/forge/{").removesuffix("}/**").split(",")
    waiting = [path for name in folders for path in (ROOT / "tests/forge" / name).glob("*.sol")]
    assert len(waiting) > len(folders)
    seen: set[Path] = set()
    while waiting:
        source = waiting.pop()
        if source in seen:
            continue
        seen.add(source)
        named = re.findall(r'^\s*(?:import|\}).*?"(\.[^"]+)";', source.read_text(), re.MULTILINE)
        waiting += [(source.parent / name).resolve() for name in named]
    within = ROOT / "contracts"  # not any folder of that name: the checkout may have it, too
    ours = {path.relative_to(within) for path in seen if path.is_relative_to(within)}
    assert {path.parts[0] for path in ours} == {"interfaces"}


def test_brownie_is_built_as_plain_python() -> None:
    spec = importlib.util.find_spec("brownie")  # finds it, does not import it
    assert spec and spec.origin
    assert list(Path(spec.origin).parent.rglob("*.so")) == []


def test_brownies_plugin_is_blocked_in_ordinary_sessions(tmp_path: Path) -> None:
    probe = tmp_path / "test_probe.py"
    probe.write_text(
        "import sys\n"
        "def test_probe(pytestconfig):\n"
        "    assert not pytestconfig.pluginmanager.has_plugin('pytest-brownie')\n"
        "    assert 'brownie' not in sys.modules\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", f"--rootdir={ROOT}", "-c", "pyproject.toml"]
    run = subprocess.run(
        [*command, "-o", f"cache_dir={tmp_path}/cache", str(probe)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("free_gib", "blocks", "flags", "room"),
    [
        (13, 13 * 2**18, 0, True),
        (13, 11 * 2**18, 0, False),
        (11, 13 * 2**18, 0, False),
        (13, 13 * 2**18, os.ST_NOEXEC, False),
        (None, 13 * 2**18, 0, False),
    ],
    ids=["room", "small file system", "little memory", "no programs", "nothing known"],
)
def test_files_of_tests_lie_in_memory_where_there_is_room(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    free_gib: int | None,
    blocks: int,
    flags: int,
    room: bool,
) -> None:
    meminfo = tmp_path / "meminfo"
    said = "" if free_gib is None else f"MemAvailable:   {free_gib * 2**20} kB\n"
    meminfo.write_text(f"MemTotal:       99999999 kB\n{said}")
    found = SimpleNamespace(f_bavail=blocks, f_frsize=4096, f_flag=flags)
    monkeypatch.setattr(pytest_plugin.os, "statvfs", lambda _: found)
    assert pytest_plugin.has_room(tmp_path, meminfo) is room


def test_without_a_file_system_in_memory_there_is_no_room(tmp_path: Path) -> None:
    assert not pytest_plugin.has_room(tmp_path / "shm")


def test_no_test_sees_what_a_shell_has_set_for_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """``export TRUETONNE_DATABASE_URL=...`` as README has it, and then ``./dev test``; or ETH_RPC_URL, by which forge
    forks that chain.
    """
    left = {"TRUETONNE_ANVIL": "anvil", "PATH": os.environ["PATH"]}
    gone = {
        "TRUETONNE_DATABASE_URL": "mysql+pymysql://u@127.0.0.1:1/real",
        "TRUETONNE_RPC_URL": "http://127.0.0.1:1",
        "FOUNDRY_EVM_VERSION": "paris",
        "ETH_RPC_URL": "http://127.0.0.1:1",
        "MYSQL_PWD": "secret",
    }
    for name, value in {**left, **gone}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TMPDIR", tempfile.gettempdir())
    pytest_plugin.pytest_load_initial_conftests()
    assert {name: os.environ.get(name) for name in left} == left
    assert not set(gone) & set(os.environ)


def test_a_long_folder_of_temporary_files_gets_a_name_that_sockets_bear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a socket has at most 107 bytes: nodes and servers of the tests did not start."""
    links: list[Path] = []
    monkeypatch.setattr(pytest_plugin, "_links", links)
    monkeypatch.setattr(pytest_plugin.tempfile, "tempdir", None)
    long = tmp_path / ("long é " * 20).strip()
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    pytest_plugin.pytest_load_initial_conftests()
    try:
        with tempfile.TemporaryDirectory(prefix="truetonne-postgres-") as folder:
            assert folder.startswith(os.environ["TMPDIR"])
            assert len(folder) + len("/restored-12345678/server.sock") < 107
            assert os.path.samefile(Path(folder).parent, long)
    finally:
        made = [*links]
        pytest_plugin.pytest_unconfigure()
    assert made and not any(map(os.path.lexists, made))
    assert pytest_plugin.shortened("/tmp") == "/tmp"


@pytest.mark.parametrize(
    ("words", "trouble"),
    [
        (["run", "deploy"], None),
        (["run", "deploy", "--network", "development"], None),
        (["run", "deploy", "--network", "sepolia"], None),
        (["run", "deploy", "--network"], None),  # Brownie prints how it is used
        (["test", "--no-header", "-n", "2"], None),
        (["run", "deploy", "--network", "seplia"], "no such network; there are amoy,"),
        (["test", "--network=seplia"], "no such network"),
        (["run", "deploy", "--net", "seplia"], "no such network"),
        (["run", "deploy", "--network", "amoy"], "set AMOY_RPC_URL to the address of its node"),
        (["run", "deploy", "--network=local"], "set TRUETONNE_RPC_URL to the address of its node"),
    ],
)
def test_a_network_that_cannot_be_used_is_one_line(words: list[str], trouble: str | None) -> None:
    """Brownie ended with its own code, and a ``KeyError`` below it."""
    listed = yaml.safe_load((ROOT / "scripts/toolchain/networks.yaml").read_text())
    networks = {each["id"]: each for each in listed["live"][0]["networks"] + listed["development"]}
    found = network_trouble(words, networks, {"SEPOLIA_RPC_URL": "http://127.0.0.1:8545"})
    if trouble is None:
        assert found is None
    else:
        assert found is not None and found.startswith("--network") and trouble in found


def test_a_node_of_brownie_ends_with_a_session_that_is_killed() -> None:
    """``./dev test`` that CI ended left its nodes running, and a Chromium."""
    code = (
        "import sys, time, types\n"
        "from scripts.toolchain.brownie_home import node_ends_with_us\n"
        "anvil = sys.modules['brownie.network.rpc.anvil'] = types.ModuleType('anvil')\n"
        "node_ends_with_us()\n"
        "print(anvil.psutil.Popen(['sleep', '600']).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as session:
        assert session.stdout
        node = int(session.stdout.readline())
        assert runs(node)
        session.kill()
    until(lambda: not runs(node))


def test_each_run_of_brownie_has_a_port_of_its_own() -> None:
    """It stood in one file: of two at once the second attached to the node of the first, and reset it."""
    text = (ROOT / "scripts/toolchain/networks.yaml").read_text()
    ports = set()
    for _ in range(3):
        networks = {each["id"]: each for each in yaml.safe_load(text)["development"]}
        take_own_port(networks)
        ports.add(networks["development"]["cmd_settings"]["port"])
    assert len(ports) == 3 and 8545 not in ports
    assert "port:" not in (ROOT / "dev").read_text()

"""What is installed is what we mean to ship, and it runs away from the source tree."""

import importlib.metadata
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest

import scanner

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"scanner", "exporters", "targets"}


def run(*command: str | Path, cwd: Path) -> str:
    result = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from this tree, without network."""
    directory = tmp_path_factory.mktemp("wheel")
    # The PEP 517 hook itself, which every front end calls.
    code = "import sys, hatchling.build as h; print(h.build_wheel(sys.argv[1]))"
    name = run(sys.executable, "-c", code, directory, cwd=ROOT).splitlines()[-1]
    return directory / name


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment holding the wheel; its dependencies are those of this environment."""
    directory = tmp_path_factory.mktemp("installed")
    venv.create(directory, with_pip=False, symlinks=True)
    python = directory / "bin" / "python"
    run(
        *(sys.executable, "-m", "pip", "--quiet", "--python", python, "install"),
        *("--no-index", "--no-deps", wheel),
        cwd=directory,
    )
    site = Path(sysconfig.get_path("purelib", vars={"base": str(directory)}))
    # A path file adds the directory but not the path files in it, so that the editable
    # installation of this tree stays out of sight.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return directory


def test_the_wheel_holds_three_packages_and_nothing_else(wheel: Path) -> None:
    """Neither tests nor dashboards become importable names on someone's machine."""
    with zipfile.ZipFile(wheel) as archive:
        tops = {PurePosixPath(name).parts[0] for name in archive.namelist()}
    extra = {top for top in tops - PACKAGES if not top.endswith((".dist-info", ".data"))}
    assert tops >= PACKAGES
    assert extra == set()


def test_the_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    """Every tracked file of the packages is shipped: modules, the type marker, schemas."""
    tracked = run("git", "ls-files", "-z", *sorted(PACKAGES), cwd=ROOT).split("\0")
    expected = {name for name in tracked if name and (ROOT / name).exists()}
    with zipfile.ZipFile(wheel) as archive:
        shipped = set(archive.namelist())
    assert "scanner/py.typed" in expected
    assert expected - shipped == set()


def test_every_package_is_a_regular_package() -> None:
    """A folder of the operator's called ``targets`` must not merge with ours (PEP 420)."""
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_three_names_belong_to_this_distribution_alone(installed: Path) -> None:
    """No dependency ships a top-level name of ours: pip would overwrite it silently."""
    code = (
        "import importlib.metadata as m; d = m.packages_distributions();"
        "print({n: sorted(set(d[n])) for n in ('exporters', 'scanner', 'targets')})"
    )
    output = run(installed / "bin" / "python", "-P", "-c", code, cwd=installed)
    expected = {name: ["danewatch"] for name in sorted(PACKAGES)}
    assert output.strip() == str(expected)


def test_the_installed_command_runs_from_the_wheel(installed: Path) -> None:
    """The command starts outside the source tree and imports the installed copy."""
    assert scanner.__version__ in run(installed / "bin" / "danewatch", "--version", cwd=installed)
    code = "import scanner; print(scanner.__file__)"
    origin = run(installed / "bin" / "python", "-P", "-c", code, cwd=installed)
    assert Path(origin.strip()).is_relative_to(installed)


def test_the_module_is_the_command(installed: Path) -> None:
    """``python -m scanner`` and ``danewatch`` print the same help."""
    by_module = run(installed / "bin" / "python", "-P", "-m", "scanner", "--help", cwd=installed)
    assert by_module == run(installed / "bin" / "danewatch", "--help", cwd=installed)


def test_the_version_is_told_once() -> None:
    """The distribution's version is the package's."""
    assert importlib.metadata.version("danewatch") == scanner.__version__

"""Who may import whom: read from the source, so that a rule holds in code that no test runs."""

from __future__ import annotations

import ast
import functools
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "appliance"
FILES = sorted(path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py"))
DRIVERS = {
    "paho",
    "gpiozero",
    "gpiod",
    "lgpio",
    "picamera2",
    "libcamera",
    "ai_edge_litert",
    "tflite_runtime",
    "faiss",
    "zxingcpp",
}
# The core, which knows no device. `pipeline/reading.py` and `faces/stages.py` are the exceptions: they are where model
# files become stages, so they name the model runtime's driver; everything else there takes a Protocol.
CORE = (
    "appliance/access/",
    "appliance/faces/",
    "appliance/pipeline/",
    "appliance/people/",
    "appliance/door/",
    "appliance/attendant.py",
    "appliance/audit.py",
    "appliance/reception.py",
    "appliance/referrals.py",
    "appliance/ticket.py",
)
LOADS_MODELS = ("appliance/pipeline/reading.py", "appliance/faces/stages.py")
STARTS_CONTROLLER = "appliance/door/child.py"


@functools.cache
def tree(name: str) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse((ROOT / name).read_text(encoding="utf-8"), name)


@functools.cache
def imports(name: str) -> set[str]:
    """Return every module that a file names in an import, anywhere in it, for types or to run."""
    found: set[str] = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively; the rules are read from full names"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def roots(name: str) -> set[str]:
    """Return the first part of everything a file imports."""
    return {module.partition(".")[0] for module in imports(name)}


def test_rules_see_the_whole_package() -> None:
    """The rules below are held against real files."""
    assert {*LOADS_MODELS, STARTS_CONTROLLER, "appliance/pixels.py", "appliance/contract.py"} <= set(FILES)
    assert len(FILES) > 50
    assert all((ROOT / name).exists() for name in CORE)


def test_opencv_is_known_to_pixels_and_drivers_only() -> None:
    """Outside drivers/, only pixels.py knows OpenCV."""
    users = [name for name in FILES if "cv2" in roots(name) and not name.startswith("appliance/drivers/")]
    assert users == ["appliance/pixels.py"]


def test_device_libraries_are_known_to_drivers_only() -> None:
    """No library of a device, a broker or a model runtime is imported outside drivers/."""
    users = {name: roots(name) & DRIVERS for name in FILES if not name.startswith("appliance/drivers/")}
    assert {name: libraries for name, libraries in users.items() if libraries} == {}


@pytest.mark.parametrize("library", sorted(DRIVERS - {"libcamera"}))
def test_device_library_has_few_drivers(library: str) -> None:
    """At most two files know a device library: what replaces it replaces those."""
    assert len([name for name in FILES if library in roots(name)]) <= 2


def test_core_imports_no_driver() -> None:
    """Pipeline, people, door, attendant, audit and reception take what they need as a Protocol."""
    core = [name for name in FILES if name.startswith(CORE) and name not in {*LOADS_MODELS, STARTS_CONTROLLER}]
    users = [name for name in core if any(module.startswith("appliance.drivers") for module in imports(name))]
    assert len(core) > 20
    assert users == []


def test_exceptions_are_needed() -> None:
    """The files that are excepted do what they are excepted for, and no more."""
    for name in LOADS_MODELS:
        models = {module for module in imports(name) if module.startswith("appliance.drivers")}
        assert models == {"appliance.drivers.tflite", "appliance.drivers.tflite.load_model"}, name
    assert not any("camera" in module for module in imports(STARTS_CONTROLLER))


def test_door_knows_no_camera() -> None:
    """The controller starts without numpy, OpenCV, camera or pipeline: the lock needs none of them."""
    for name in (name for name in FILES if name.startswith("appliance/door/")):
        assert not roots(name) & {"numpy", "cv2"}, name
        named = {module for module in imports(name) if "camera" in module or "pipeline" in module or "pixels" in module}
        assert named == set(), name


def test_access_rules_are_pure() -> None:
    """What decides who may enter knows the rules, the person and the time: no database, camera, socket or clock."""
    pure = ("case", "companions", "explain", "judge", "passback", "rules", "schedule", "subject", "verdict")
    allowed = {"appliance.access", "appliance.config", "appliance.contract"}
    for name in (f"appliance/access/{one}.py" for one in pure):
        ours = {module for module in imports(name) if module.startswith("appliance.")}
        assert [module for module in ours if not module.startswith(tuple(allowed))] == [], name
        assert roots(name) <= {*sys.stdlib_module_names, "appliance", "pydantic"}, name
        assert not roots(name) & {"sqlite3", "socket", "time"}, name


def test_contract_rests_on_the_standard_library() -> None:
    """The contract can be read by any program: it imports nothing that has to be installed."""
    assert roots("appliance/contract.py") <= set(sys.stdlib_module_names)


def test_every_exception_is_caught_in_one_place() -> None:
    """Anything as wide as `except Exception` that swallows stands once in the package: in the service's turn.

    A handler that ends in a bare `raise` tidies up and swallows nothing.
    """
    wide = []
    for name in FILES:
        for node in ast.walk(tree(name)):
            passes_on = isinstance(node, ast.ExceptHandler) and ast.unparse(node.body[-1]) == "raise"
            if isinstance(node, ast.ExceptHandler) and not passes_on:
                caught = set() if node.type is None else {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)}
                if node.type is None or caught & {"Exception", "BaseException"}:
                    wide.append(name)
            if isinstance(node, ast.Call) and "suppress" in ast.unparse(node.func):
                assert not {"Exception", "BaseException"} & {ast.unparse(argument) for argument in node.args}, name
    assert wide == ["appliance/service.py"]


def test_no_shell_anywhere() -> None:
    """No process is started through a shell, and no text is run as a program (D8)."""
    for name in FILES:
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.Call):
                shell = [word.value for word in node.keywords if word.arg == "shell"]
                assert all(isinstance(value, ast.Constant) and value.value is False for value in shell), name
                assert ast.unparse(node.func) not in {"os.system", "os.popen", "eval", "exec", "pickle.loads"}, name

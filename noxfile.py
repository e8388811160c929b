"""The checks, each in an environment of its own: nox -s check, nox -s test, nox -s docs."""

import nox

nox.options.sessions = ["check", "test"]


def prepare(session: nox.Session, group: str) -> None:
    """Install imagrad and a dependency group, unless the session runs in the caller's environment."""
    if session.venv_backend != "none":
        session.install("-c", "constraints.txt", "-e", ".", "--group", group)


@nox.session
def check(session: nox.Session) -> None:
    """Format, lint, types, architecture."""
    prepare(session, "dev")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run(
        "pyright", "--pythonpath", session.run("python", "-c", "import sys; print(sys.executable)", silent=True).strip()
    )
    session.run("python", "-m", "pytest", "-q", "tests/test_architecture.py")


@nox.session
def test(session: nox.Session) -> None:
    """All tests, the slow ones too; `nox -s test -- -m 'not slow'` for the quick ones."""
    prepare(session, "test")
    session.run(
        "python", "-m", "pytest", "-n", "auto", "--dist", "loadgroup", *session.posargs, env={"OMP_NUM_THREADS": "1"}
    )


@nox.session
def docs(session: nox.Session) -> None:
    """Make the site, from the pages, the docstrings and the gallery, which is run; a warning is an error."""
    prepare(session, "docs")
    session.run(
        "python", "-m", "sphinx", "-E", "-W", "--keep-going", "-q", "docs", "build/site", env={"OMP_NUM_THREADS": "1"}
    )
    session.run("python", "docs/check_site.py", "build/site")

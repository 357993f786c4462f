"""Pulp's container registry for the tests: another implementation than distribution, with its own tokens and rights.

It wants a virtual environment of its own with `pulp-container` (`make pulp` makes it), PostgreSQL and nginx. One server
is up in about half a minute, so there is one for a whole test module, and all of its tests stand in that module.
"""

from __future__ import annotations

import base64
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.servers import RegistryServer, free_port, missing, require

ADMIN, ADMIN_PASSWORD = "admin", "secret-admin"
START_SECONDS = 240
VENV = Path(os.environ.get("TAGFLOW_PULP", Path(__file__).resolve().parents[1] / ".venv-pulp"))
"""Where `make pulp` puts it."""
_SETTINGS = """\
SECRET_KEY = "{secret}"
DEPLOY_ROOT = "{root}"
MEDIA_ROOT = "{root}/media"
STATIC_ROOT = "{root}/static"
WORKING_DIRECTORY = FILE_UPLOAD_TEMP_DIR = "{root}/work"
DB_ENCRYPTION_KEY = "{root}/database.key"
CONTENT_ORIGIN = "http://{host}"
_DATABASE = {{"NAME": "postgres", "USER": "pulp", "HOST": "{root}/socket"}}
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", **_DATABASE}}}}
TOKEN_SERVER = "http://{host}/token/"
TOKEN_SIGNATURE_ALGORITHM = "ES256"
PUBLIC_KEY_PATH, PRIVATE_KEY_PATH = "{root}/token.pub", "{root}/token.key"
ANALYTICS = False
"""
_NGINX = """\
daemon off; pid {root}/nginx.pid; error_log {root}/nginx.error; user {user};
events {{ worker_connections 512; }}
http {{
  access_log {root}/access.log;
  client_max_body_size 0;
  client_body_temp_path {root}/nginx-1; proxy_temp_path {root}/nginx-2; fastcgi_temp_path {root}/nginx-3;
  uwsgi_temp_path {root}/nginx-4; scgi_temp_path {root}/nginx-5;
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-Proto $scheme;
  proxy_http_version 1.1;
  server {{
    listen {host};
    location /pulp/container/ {{ proxy_pass http://127.0.0.1:{content}; }}
    location /pulp/content/ {{ proxy_pass http://127.0.0.1:{content}; }}
    location / {{ proxy_pass http://127.0.0.1:{api}; }}
  }}
}}
"""


@contextmanager
def running_pulp() -> Iterator[RegistryServer]:
    """A Pulp that knows its administrator; a push creates the repository."""
    tools = _tools()
    root = Path(tempfile.mkdtemp(prefix="tagflow-", dir="/tmp"))  # the path of a socket has at most 107 bytes
    root.chmod(0o755)
    host = f"127.0.0.1:{free_port()}"
    api, content = free_port(), free_port()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        _start_database(stack, root, tools)
        environ = _configure(root, host)
        for step in (("migrate", "--noinput"), ("reset-admin-password", "--password", ADMIN_PASSWORD)):
            _run([VENV / "bin" / "pulpcore-manager", *step], root / "setup.log", environ)
        services = (
            ("pulpcore-api", "--bind", f"127.0.0.1:{api}", "--workers", "2"),
            ("pulpcore-content", "--bind", f"127.0.0.1:{content}", "--workers", "1"),
            ("pulpcore-worker",),
        )
        for name, *arguments in services:
            _start(stack, [VENV / "bin" / name, *arguments], root / f"{name}.log", environ)
        values = {"root": root, "host": host, "api": api, "content": content, "user": pwd.getpwuid(os.getuid()).pw_name}
        (root / "nginx.conf").write_text(_NGINX.format(**values))
        _start(stack, [tools["nginx"], "-e", root / "nginx.error", "-c", root / "nginx.conf"], root / "nginx.log")
        _await(host, root)
        yield RegistryServer(host, root, root / "access.log", ADMIN, ADMIN_PASSWORD)


def add_user(server: RegistryServer, name: str, password: str) -> None:
    """A user without any rights of their own: what is public may be pulled."""
    _ask(server, "POST", "users/", {"username": name, "password": password})


def make_private(server: RegistryServer, repository: str) -> None:
    """Strangers may not see a repository any more."""
    found = _ask(server, "GET", f"distributions/container/container/?base_path={repository}")
    _ask(server, "PATCH", found["results"][0]["pulp_href"].removeprefix("/pulp/api/v3/"), {"private": True})
    _await_tasks(server)


def delete(server: RegistryServer, repository: str, digest: str) -> None:
    """Remove a manifest by its digest, as people clean up: what it names goes with it, and all its tags."""
    scope = f"service={server.host}&scope=repository:{repository}:pull,push,delete"
    token = urllib3.request("GET", f"http://{server.host}/token/?{scope}", headers=_login(server), timeout=60).json()
    answer = urllib3.request(
        "DELETE",
        f"http://{server.host}/v2/{repository}/manifests/{digest}",
        headers={"Authorization": f"Bearer {token['token']}"},
        timeout=60,
    )
    assert answer.status == 202, answer.data
    _await_tasks(server)


def _await_tasks(server: RegistryServer) -> None:
    """What was only accepted is done when this returns."""
    end = time.monotonic() + START_SECONDS
    while _ask(server, "GET", "tasks/?state__in=waiting,running")["count"]:
        assert time.monotonic() < end, "a task of Pulp does not end"
        time.sleep(0.1)


def _login(server: RegistryServer) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{server.username}:{server.password}".encode()).decode()}


def _ask(server: RegistryServer, method: str, path: str, document: Mapping[str, Any] | None = None) -> Any:
    url = f"http://{server.host}/pulp/api/v3/{path}"
    answer = urllib3.request(method, url, json=document, headers=_login(server), timeout=60)
    assert answer.status < 300, answer.data
    return answer.json()


def _tools() -> dict[str, str]:
    """The programs; without them, or without the environment, the test is skipped by name, or fails in CI."""
    if not (VENV / "bin" / "pulpcore-manager").exists():
        missing("pulp-container is not installed (make pulp)")
    found = {name: require(name) for name in ("nginx", "openssl")}
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    path = os.pathsep.join([*(str(folder) for folder in reversed(folders)), os.environ["PATH"]])
    return found | {name: require(name, path) for name in ("initdb", "postgres")}


def _start_database(stack: ExitStack, root: Path, tools: Mapping[str, str]) -> None:
    """PostgreSQL on a socket, without any care for what a crash would leave. It does not run as root."""
    data, socket = root / "database", root / "socket"
    owner = "postgres" if os.geteuid() == 0 else None
    for folder in (data, socket):
        folder.mkdir(mode=0o700)
        if owner:
            shutil.chown(folder, owner)
    socket.chmod(0o755)
    log = root / "database.log"
    _run([tools["initdb"], "-D", data, "-A", "trust", "-U", "pulp", "--no-sync", "-E", "UTF8"], log, user=owner)
    careless = (
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "listen_addresses=",
        "max_connections=200",
    )
    options = [part for option in careless for part in ("-c", option)]
    _start(stack, [tools["postgres"], "-D", data, "-k", socket, *options], log, user=owner)


def _configure(root: Path, host: str) -> dict[str, str]:
    """Settings and keys; the environment that leads to them."""
    for name in ("media", "static", "work"):
        (root / name).mkdir()
    key = root / "token.key"
    _run(["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key], root / "setup.log")
    _run(["openssl", "ec", "-in", key, "-pubout", "-out", root / "token.pub"], root / "setup.log")
    (root / "database.key").write_bytes(base64.urlsafe_b64encode(secrets.token_bytes(32)) + b"\n")
    (root / "settings.py").write_text(_SETTINGS.format(root=root, host=host, secret=secrets.token_hex(32)))
    return {
        "HOME": str(root),
        "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PULP_SETTINGS": str(root / "settings.py"),
        "DJANGO_SETTINGS_MODULE": "pulpcore.app.settings",
    }


def _run(
    command: list[str | Path], log: Path, environ: Mapping[str, str] | None = None, user: str | None = None
) -> None:
    with log.open("ab") as output:
        done = subprocess.run(command, stdout=output, stderr=output, env=environ, user=user, cwd=log.parent)
    if done.returncode:
        pytest.fail(f"{command[0]} failed:\n{log.read_text()[-4000:]}")


def _start(
    stack: ExitStack,
    command: list[str | Path],
    log: Path,
    environ: Mapping[str, str] | None = None,
    user: str | None = None,
) -> None:
    """Start a service; it is asked to end with the stack, and waited for."""
    output = stack.enter_context(log.open("ab"))
    process = stack.enter_context(
        subprocess.Popen(command, stdout=output, stderr=output, env=environ, user=user, cwd=log.parent)
    )
    stack.callback(process.terminate)


def _await(host: str, root: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            status = urllib3.request("GET", f"http://{host}/pulp/api/v3/status/", retries=False, timeout=60)
            if status.status == 200 and status.json()["online_workers"] and status.json()["online_content_apps"]:
                return
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.2)
    pytest.fail("Pulp did not start:\n" + "\n".join(log.read_text()[-2000:] for log in root.glob("*.log")))

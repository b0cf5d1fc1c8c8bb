"""Who is let in, this machine alone, and what an error tells them: nothing."""

import http.client
import tomllib

import psutil
import pytest

from tests.slow.browser.dashboard_server import ROOT, served
from tests.slow.browser.visitor import visit

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "streamlit",
}
SECRET = "what-only-the-log-may-say"


def ask(server, method: str, path: str, **headers: str) -> tuple[int, dict, str]:
    """Status, headers and text of the answer to a request with these headers alone."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        text = "" if answer.status == 101 else answer.read().decode()
        return answer.status, dict(answer.getheaders()), text
    finally:
        connection.close()


def test_it_listens_on_the_loopback_interface_alone(server):
    process = psutil.Process(server.pid)
    listening = {
        connection.laddr
        for each in [process, *process.children(recursive=True)]
        for connection in each.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", server.port)}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_its_own_pages_are_let_in(server, host):
    own = f"{host}:{server.port}"
    headers = UPGRADE | {"Host": own, "Origin": f"http://{own}"}
    assert ask(server, "GET", "/_stcore/stream", **headers)[0] == 101


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example", "http://evil.example"),  # a name that was pointed here
        ("localhost", "http://evil.example"),  # a page of somebody else
        ("localhost.evil.example", None),
    ],
)
def test_foreign_hosts_and_pages_are_refused(server, host, origin):
    headers = UPGRADE | {"Host": f"{host}:{server.port}"}
    headers |= {"Origin": origin} if origin else {}
    assert ask(server, "GET", "/_stcore/stream", **headers)[0] == 403


def test_foreign_pages_may_not_read_answers(server):
    own = f"localhost:{server.port}"
    headers = {"Host": own, "Origin": "http://evil.example"}
    status, answered, _ = ask(server, "GET", "/_stcore/health", **headers)
    assert status == 200
    allowed = {
        name: v for name, v in answered.items() if "access-control" in name.lower()
    }
    assert allowed == {}


def test_uploads_need_a_token(server):
    own = f"localhost:{server.port}"
    headers = {"Host": own, "Origin": f"http://{own}", "Content-Length": "0"}
    path = "/_stcore/upload_file/session/file"
    status, _, text = ask(server, "PUT", path, **headers)
    assert status == 403 and "XSRF" in text


def test_programs_may_not_drive_it(server):
    own = f"localhost:{server.port}"
    headers = {"Host": own, "Content-Type": "application/json", "Content-Length": "0"}
    status, _, text = ask(server, "POST", "/_stcore/agent/interact", **headers)
    assert status == 403 and "does not serve the agent API" in text


def test_an_error_tells_visitors_nothing(browser, results, tmp_path):
    script, log = tmp_path / "broken.py", tmp_path / "log.txt"
    script.write_text(
        f"import streamlit as st\nst.title('x')\nraise OSError('{SECRET}')"
    )
    with (
        served(results, log, script) as server,
        visit(browser, server.url) as seen,
    ):
        seen.open()
        shown = seen.page.get_by_test_id("stException").inner_text()
        assert "error" in shown
        for detail in (SECRET, "OSError", str(script), "Traceback", str(ROOT)):
            assert detail not in seen.page.content()
    assert SECRET in log.read_text()


def test_the_settings_are_written_down():
    """Also where they are Streamlit's defaults, which may change."""
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert settings["server"]["address"] == "127.0.0.1"
    assert settings["server"]["enableXsrfProtection"] is True
    assert settings["server"]["enableCORS"] is True
    assert settings["client"]["showErrorDetails"] == "none"
    assert settings["browser"]["gatherUsageStats"] is False

"""Who is let in, this machine alone, and what an error tells them: nothing."""

import psutil
import pytest
import urllib3

from tests.slow.browser.dashboard_server import served
from tests.slow.browser.visitor import visit
from tests.support import ROOT

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "streamlit",
}
SECRET = "what-only-the-log-may-say"


def ask(server, method: str, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
    """The answer to a request with these headers; its body is not read yet."""
    address = f"http://127.0.0.1:{server.port}{path}"
    how = {"timeout": 20, "retries": False, "preload_content": False}
    return urllib3.request(method, address, headers=headers, **how)


def test_it_listens_on_the_loopback_interface_alone(server):
    process = psutil.Process(server.pid)
    listening = {
        connection.laddr
        for each in [process, *process.children(recursive=True)]
        for connection in each.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", server.port)}


def test_started_with_other_settings_it_says_so_and_shows_nothing(
    browser, results, tmp_path
):
    """From elsewhere, Streamlit would listen everywhere."""
    script = ROOT / "dashboard" / "script" / "app.py"
    words = ("streamlit", "run", script, "--server.headless", "true")
    with (
        served(results, tmp_path / "log.txt", *words, folder=tmp_path) as server,
        visit(browser, server.url) as seen,
    ):
        seen.page.goto(server.url)
        alert = seen.page.get_by_test_id("stAlert").inner_text()
        assert "start it with comvae dashboard" in alert
        assert "negative ELBO" not in seen.page.content()


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost", "http://localhost", 101),
        ("127.0.0.1", "http://127.0.0.1", 101),
        ("evil.example", "http://evil.example", 403),  # a name that was pointed here
        ("localhost", "http://evil.example", 403),  # a page of somebody else
        ("localhost.evil.example", None, 403),
    ],
)
def test_its_own_pages_alone_are_let_in(server, host, origin, status):
    headers = UPGRADE | {"Host": f"{host}:{server.port}"}
    headers |= {"Origin": f"{origin}:{server.port}"} if origin else {}
    answer = ask(server, "GET", "/_stcore/stream", **headers)
    assert answer.status == status


def test_foreign_pages_may_not_read_answers(server):
    headers = {"Host": f"localhost:{server.port}", "Origin": "http://evil.example"}
    answer = ask(server, "GET", "/_stcore/health", **headers)
    assert answer.status == 200
    assert not [name for name in answer.headers if "access-control" in name.lower()]


@pytest.mark.parametrize(
    ("method", "path", "says"),
    [
        ("PUT", "/_stcore/upload_file/session/file", "XSRF"),
        ("POST", "/_stcore/agent/interact", "does not serve the agent API"),
    ],
)
def test_uploads_need_a_token_and_programs_may_not_drive_it(server, method, path, says):
    own = f"localhost:{server.port}"
    headers = {"Host": own, "Origin": f"http://{own}"}
    headers["Content-Type"] = "application/json"
    answer = ask(server, method, path, **headers)
    assert answer.status == 403 and says in answer.data.decode()


def test_an_error_tells_visitors_nothing(browser, results, tmp_path):
    script, log = tmp_path / "broken.py", tmp_path / "log.txt"
    script.write_text(
        f"import streamlit as st\nst.title('x')\nraise OSError('{SECRET}')"
    )
    with (
        served(results, log, "streamlit", "run", script, folder=ROOT) as server,
        visit(browser, server.url) as seen,
    ):
        seen.open()
        shown = seen.page.get_by_test_id("stException").inner_text()
        assert "error" in shown
        for detail in (SECRET, "OSError", str(script), "Traceback", str(ROOT)):
            assert detail not in seen.page.content()
    assert SECRET in log.read_text()

"""A real browser without a window, told what to do over a pipe.

The protocol is Chromium's DevTools protocol: JSON, each message ended by a NUL, on the
descriptors 3 and 4 of the browser (``--remote-debugging-pipe``).
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

#: Debian's headless build comes first: it starts in a third of a second.
NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
_KEYS = {"Enter": 13, "Escape": 27, "ArrowRight": 39, "ArrowDown": 40}


class Browser:
    """A browser with one page of so many pixels; a context manager."""

    def __init__(self, folder: Path) -> None:
        assert PROGRAM is not None
        theirs, self._to = os.pipe()
        self._from, answers = os.pipe()
        # With no network, whatever a page asks for fails.
        options = (
            *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--window-size=1280,900", "--proxy-server=127.0.0.1:9"),
            "--disable-dev-shm-usage",  # containers have little of it
            *(f"--user-data-dir={folder}", "--remote-debugging-pipe", "about:blank"),
        )
        command = f'exec "$@" 3<&{theirs} 4>&{answers}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", PROGRAM, *options],
            pass_fds=(theirs, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(answers)
        self._data, self._number = b"", 0
        #: what the page complained of: errors of scripts, refused by the policy or not
        self.complaints: list[str] = []
        #: addresses that the page asked for, its own left out
        self.requests: list[str] = []
        pages = self._ask("Target.getTargets")["targetInfos"]
        target = next(page for page in pages if page["type"] == "page")["targetId"]
        where = {"targetId": target, "flatten": True}
        self._session = self._ask("Target.attachToTarget", **where)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._to)
        self._process.kill()  # its other processes end when it does
        self._process.wait()
        os.close(self._from)

    def open(self, path: Path, part: str = "") -> None:
        """Load the file *path* anew, at the *part* of it."""
        self.call("Page.navigate", url="about:blank")
        self.complaints, self.requests = [], []
        self.call("Page.navigate", url=f"{path.as_uri()}#{part}")
        self.wait(
            "document.readyState === 'complete' && location.href !== 'about:blank'"
        )

    def wait(self, expression: str) -> None:
        """Wait until *expression* is true."""
        deadline = time.monotonic() + 20
        while not self.value(expression):
            assert time.monotonic() < deadline, f"never: {expression}"

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript *expression* in the page."""
        asked = {"expression": expression, "returnByValue": True}
        return self.call("Runtime.evaluate", **asked)["result"].get("value")

    def texts(self, selector: str) -> list[str]:
        """Return the text of each element that *selector* finds and that is shown."""
        return list(
            self.value(
                f"[...document.querySelectorAll({selector!r})]"
                ".filter(e => e.checkVisibility()).map(e => e.innerText)"
            )
        )

    def press(self, key: str) -> None:
        """Press a key, as a person does."""
        known = {"key": key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", **known)
        if key == "Enter":
            self.call("Input.dispatchKeyEvent", type="char", text="\r", **known)
        self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Return what the page's side of the protocol answers."""
        return self._ask(method, self._session, **parameters)

    def _ask(
        self, method: str, session: str | None = None, **parameters: object
    ) -> dict[str, Any]:
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer.get("method"), answer.get("params", {}))

    def _note(self, event: str | None, facts: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.complaints.append(str(facts["exceptionDetails"].get("exception")))
        elif event == "Log.entryAdded" and facts["entry"]["level"] == "error":
            self.complaints.append(facts["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            url = facts["request"]["url"]
            if facts["type"] != "Document" and not url.startswith("data:"):
                self.requests.append(url)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._data:
            ready, _, _ = select.select([self._from], [], [], 30)
            assert ready, "the browser does not answer"
            data = os.read(self._from, 1 << 20)
            assert data, "the browser has ended"
            self._data += data
        text, _, self._data = self._data.partition(b"\0")
        answer: dict[str, Any] = json.loads(text)
        return answer

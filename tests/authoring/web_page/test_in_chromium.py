"""A page as a person uses it: opened from disk in Chromium, given files, its labels saved."""

import time

import numpy as np
import pytest

from lunet_networks.authoring.web_page.chromium import chromium_command, opened_page
from lunet_networks.authoring.web_page.trial import label_in_chromium
from tests.helpers.pages import Page, saved, volume

pytestmark = pytest.mark.skipif(chromium_command() is None, reason="Chromium is not on this machine")
STATE = "document.body.dataset.state"
SAYS = "document.getElementById('state').textContent"
# Every way out of a page that a policy has to close; each gives the name of what was blocked.
WAYS_OUT = """(async () => {
  const tried = {};
  const refused = async (name, attempt) => {
    try { await attempt(); tried[name] = 'open'; } catch (error) { tried[name] = 'blocked'; }
  };
  const loads = (tag, source) => () => new Promise((resolve, reject) => {
    const made = document.createElement(tag);
    made.onload = resolve; made.onerror = reject; made.src = source; document.body.append(made);
  });
  await refused('fetch', () => fetch('http://localhost:9/'));
  await refused('image', loads('img', 'http://localhost:9/a.png'));
  await refused('script', loads('script', 'http://localhost:9/a.js'));
  await refused('socket', () => new Promise((resolve, reject) => {
    const socket = new WebSocket('ws://localhost:9/'); socket.onopen = resolve; socket.onerror = reject;
  }));
  await refused('eval', () => (0, eval)('1'));
  return tried;
})()"""
VIOLATIONS = "addEventListener('securitypolicyviolation', (e) => (window.violated ??= []).push(e.effectiveDirective))"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return Page(tmp_path_factory.mktemp("page"))


@pytest.fixture
def browser(page):
    with opened_page(page.path.as_uri()) as opened:
        yield opened


def requests(browser):
    sent = [event["params"] for event in browser.events if event["method"] == "Network.requestWillBeSent"]
    return [each["request"]["url"] for each in sent]


def choose(browser, *paths, until="done"):
    browser.choose_files("#file", paths)
    browser.wait_for(f"{STATE} === {until!r}", 120)


def test_labels_equal_pythons(page, tmp_path):
    affine = np.array([[0, 0, -1.1, 20], [0.9, 0, 0, 5], [0, -1.3, 0, 8], [0, 0, 0, 1.0]])
    cases = [
        [saved(tmp_path / "one.nii.gz", volume(0))],
        [saved(tmp_path / "several_windows.nii", volume(1, (55, 60, 70)), affine)],
    ]
    page.folder = tmp_path
    different, labelled = page.differing(label_in_chromium, cases)
    assert (different, labelled > 1000) == (0, True)


def test_nothing_leaves_the_page_and_what_is_wrong_is_told(browser, tmp_path):
    choose(browser, saved(tmp_path / "image.nii.gz", volume(0)))
    cells = browser.evaluate("[...document.querySelectorAll('#legend tr')].map((row) => row.textContent)")
    assert [cell.split("0")[0].rstrip("123456789. ") for cell in cells] == ["anterior", "posterior"]
    assert all(cell.endswith(" mL") for cell in cells)
    assert browser.evaluate("document.querySelectorAll('#view canvas').length") == 3
    assert "weights" in browser.evaluate("document.getElementById('note').textContent")
    assert not browser.evaluate("document.getElementById('save').disabled")

    (tmp_path / "broken.nii.gz").write_bytes((tmp_path / "image.nii.gz").read_bytes()[:5000])
    choose(browser, tmp_path / "broken.nii.gz", until="failed")
    assert browser.evaluate(SAYS).startswith("broken.nii.gz is damaged or cut off")
    assert browser.evaluate("document.getElementById('save').disabled")

    browser.evaluate(VIOLATIONS)
    ways = browser.evaluate(WAYS_OUT)
    assert ways == dict.fromkeys(("fetch", "image", "script", "socket", "eval"), "blocked")
    assert set(browser.evaluate("window.violated")) == {"connect-src", "img-src", "script-src-elem", "script-src"}
    assert {url.split(":")[0] for url in requests(browser)} <= {"file", "blob", "http", "ws"}
    failed = [event["params"] for event in browser.events if event["method"] == "Network.loadingFailed"]
    assert all(each.get("blockedReason") == "csp" for each in failed)
    assert not [event for event in browser.events if event["method"] == "Runtime.exceptionThrown"]


def test_a_run_that_is_cancelled_leaves_no_worker(browser, tmp_path):
    large = saved(tmp_path / "large.nii", volume(2, (200, 200, 160)))
    browser.choose_files("#file", [large])
    browser.wait_for("!document.getElementById('cancel').hidden && document.getElementById('bar').value > 0", 120)
    browser.evaluate("document.getElementById('cancel').click()")
    assert browser.evaluate(STATE) == "cancelled"
    at = browser.evaluate("document.getElementById('bar').value")
    time.sleep(0.5)
    assert browser.evaluate("document.getElementById('bar').value") == at
    choose(browser, saved(tmp_path / "small.nii", volume(0)))  # the page goes on with the next file
    assert "small.nii is labelled" in browser.evaluate(SAYS)


def test_keys_move_slices_and_labels_can_be_hidden(browser, tmp_path):
    choose(browser, saved(tmp_path / "image.nii.gz", volume(0)))
    browser.evaluate("document.querySelector('#view canvas').focus()")
    before = browser.evaluate("document.querySelector('output').textContent")
    browser.send("Input.dispatchKeyEvent", type="keyDown", key="ArrowUp")
    after = browser.evaluate("document.querySelector('output').textContent")
    assert int(after.split()[0]) == int(before.split()[0]) + 1
    pixels = "document.querySelector('canvas').toDataURL()"
    with_labels = browser.evaluate(pixels)
    browser.evaluate("document.querySelectorAll('#legend input').forEach((box) => box.click())")
    assert browser.evaluate(pixels) != with_labels

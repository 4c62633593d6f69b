"""The report in a real browser: drawn, silent, reachable by keyboard, readable, and deaf to what rules may say."""

import pytest

from optc.search.report.findings import Findings
from optc.search.report.page import write_page
from optc.search.runs.store import Store

from .browser import Browser, chromium
from .conftest import ATTACK

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium here: apt-get install chromium")
LOGGED = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
CHARTS = ("fitness", "seeds", "pareto", "family", "shares")
VISIBLE = "[...document.querySelectorAll('svg.chart')].filter(c => c.getClientRects().length)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def html(finished_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(Store.open(finished_run), path)
    return path


@pytest.fixture(
    params=[(1100, False), (1100, True), (360, False), (360, True)], ids=["desk", "desk-dark", "phone", "phone-dark"]
)
def shown(browser, html, request):
    width, dark = request.param
    browser.view(width, 800, dark=dark, phone=width < 500)
    browser.open(html)
    return browser, width


def test_nothing_is_logged_and_nothing_is_fetched(shown, html):
    browser, _ = shown
    logged = [event for event in browser.events if event["method"] in LOGGED]
    asked = {e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"}
    assert logged == []
    assert asked == {html.as_uri()}


def test_every_chart_is_drawn_and_fits(shown):
    browser, width = shown
    charts = browser.evaluate(
        VISIBLE
        + """.map(c => ({
        kind: c.classList[1], width: c.getBoundingClientRect().width,
        marks: [...c.querySelectorAll('.mark')].map(m => m.getBoundingClientRect()).map(b => b.width * b.height),
        outside: [...c.querySelectorAll('text')].map(t => t.getBoundingClientRect())
            .filter(b => b.left < 0 || b.right > innerWidth).length}))"""
    )
    assert sorted(c["kind"] for c in charts) == sorted(CHARTS)
    for chart in charts:
        assert 0.75 * min(width, 760) < chart["width"] <= width
        assert chart["marks"] and all(area > 0 for area in chart["marks"]), chart["kind"]
        assert chart["outside"] == 0, chart["kind"]
    assert browser.evaluate("document.documentElement.scrollWidth") == width


def test_text_has_contrast(shown):
    """WCAG 2's AA for normal text, 4.5 to 1, wherever there is text."""
    browser, _ = shown
    poor = browser.evaluate("""(() => {
        const pixel = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
        const rgba = (color) => { pixel.clearRect(0, 0, 1, 1); pixel.fillStyle = color; pixel.fillRect(0, 0, 1, 1);
            return [...pixel.getImageData(0, 0, 1, 1).data]; };
        const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
            .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
        const behind = (e) => { const c = rgba(getComputedStyle(e).backgroundColor);
            return c[3] === 255 || !e.parentElement ? c : behind(e.parentElement); };
        document.querySelectorAll('details').forEach(d => d.open = true);
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), poor = [];
        while (walker.nextNode()) {
            const e = walker.currentNode.parentElement;
            if (!walker.currentNode.data.trim() || !e.getClientRects().length || e.closest('script, .skip')) continue;
            const style = getComputedStyle(e), a = light(rgba(e.closest('svg') ? style.fill : style.color));
            const b = light(behind(e)), ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) poor.push([e.className.baseVal ?? e.className, walker.currentNode.data, ratio]);
        }
        return poor; })()""")
    assert poor == []


def test_everything_is_reached_by_keyboard(shown):
    browser, _ = shown
    seen = []
    for _ in range(200):
        browser.press("Tab")
        here = browser.evaluate(
            "(e => e === document.body ? '' : (e.closest('svg')?.classList[1] ?? (e.id || e.className || e.tagName)))"
            "(document.activeElement)"
        )
        if seen and here in ("", seen[0]):
            break
        seen.append(here)
    assert seen[:2] == ["skip", "theme"]
    assert [kind for kind in seen if kind in CHARTS] == list(CHARTS)
    assert seen.count("SUMMARY") == browser.evaluate("document.querySelectorAll('summary').length")


def test_arrows_go_through_a_chart_and_say_each_rule(browser, html, finished_run):
    front = Findings(Store.open(finished_run)).front
    browser.view(1100, 800)
    browser.open(html)
    browser.evaluate(f"({VISIBLE}).find(c => c.classList.contains('pareto')).querySelector('.mark').focus()")
    said = [browser.evaluate("document.getElementById('tip').textContent")]
    for _ in front[1:]:
        browser.press("ArrowRight")
        said.append(browser.evaluate("document.getElementById('tip').textContent"))
    assert all(s.formula in words for s, words in zip(front, said, strict=True))
    assert browser.evaluate("document.querySelectorAll('svg.pareto .mark[tabindex=\"0\"]').length") == 2
    browser.press("Escape")
    assert browser.evaluate("document.getElementById('tip').hidden")


@pytest.mark.parametrize("dark", [False, True])
def test_the_button_switches_light_and_dark(browser, html, dark):
    browser.view(1100, 800, dark=dark)
    browser.open(html)
    paper = "getComputedStyle(document.body).backgroundColor"
    before = browser.evaluate(paper)
    browser.evaluate("document.getElementById('theme').click()")
    after = browser.evaluate(paper)
    browser.evaluate("document.getElementById('theme').click()")
    assert before != after
    assert browser.evaluate(paper) == before


def test_texts_of_others_are_shown_and_never_run(browser, hostile_store, tmp_path):
    path = tmp_path / "hostile.html"
    write_page(hostile_store, path)
    browser.view(1100, 800)
    browser.open(path)
    assert browser.evaluate("typeof window.hacked") == "undefined"
    assert browser.evaluate("document.images.length") == 0
    assert ATTACK in browser.evaluate("document.querySelector('pre').textContent")
    assert browser.evaluate("document.querySelector('.ledger p').textContent") == ATTACK


def test_no_script_runs_but_the_pages_own(browser, html, tmp_path):
    path = tmp_path / "injected.html"
    path.write_text(html.read_text().replace("<main", "<script>window.hacked = 1</script><main", 1))
    browser.open(path)
    assert browser.evaluate("typeof window.hacked") == "undefined"

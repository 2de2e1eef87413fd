"""The page to try a model, in a real browser and as text."""

from __future__ import annotations

import json
import re
import urllib.request
import uuid
from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from shearling.bundle.example import Example
from shearling.cli.proxy import HttpUpstream, serving
from shearling.client.auth import Authorization
from shearling.converters.image_settings import Image
from shearling.models.push import push_model
from shearling.registry.registry import Registry
from shearling_runtime.apidocs.page import docs_page
from shearling_runtime.events.dispatch import respond
from shearling_runtime.serving.model_server import ModelServer
from tests.protocol.test_csv_rows import frame_server
from tests.runtime.test_runtime import Call, settings_of
from tests.support.bundles import scaling_bundle
from tests.support.http_server import http_api
from tests.support.jobs import JobFunction, served_with_jobs
from tests.support.lambda_server import served
from tests.support.pictures import COLOURS, SIDE, drawn, file_of, mean_colours
from tests.support.terraform_cli import TOOLS
from tests.support.text_models import TEXTS, classifier_folder
from tests.support.webdriver import Browser, chromium, why_not

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCREENSHOTS = TOOLS / "screenshots"
ATTACK = (
    "</script><script>document.title='owned'</script><img src=x onerror=document.title='owned'>"
)

in_a_browser = pytest.mark.skipif(bool(why_not()), reason=why_not() or "a browser is here")


def metadata(name: str = "fraud", *inputs: dict[str, Any]) -> dict[str, Any]:
    tensor = {"name": "X", "datatype": "FP32", "shape": [-1, 2]}
    return {
        "name": name,
        "versions": ["7"],
        "platform": "shearling_onnx",
        "inputs": list(inputs) or [tensor],
        "outputs": [{**tensor, "name": "Y"}],
        "parameters": {},
    }


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_texts_of_a_model_cannot_end_their_element() -> None:
    tensor = {"name": ATTACK, "datatype": "BYTES", "shape": [-1, 1]}
    example = Example({ATTACK: np.array([[ATTACK]], object)}, {})
    page, _ = docs_page(metadata(ATTACK, tensor), example, ATTACK)
    assert page.count("<script") == docs_page(metadata(), None)[0].count("<script")
    assert "<img" not in page
    assert data_of(page)["metadata"]["inputs"][0]["name"] == ATTACK
    assert data_of(page)["example"][0]["data"] == [ATTACK]


def test_a_model_named_like_a_marker_does_not_change_the_page() -> None:
    page, _ = docs_page(metadata("%script%"), None)
    assert data_of(page)["metadata"]["name"] == "%script%"


def test_the_page_may_load_nothing_and_run_no_other_script() -> None:
    page, headers = docs_page(metadata(), None)
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"(?:src|href)=.?https?:", page)


def test_integers_of_64_bits_keep_their_digits() -> None:
    example = Example({"X": np.array([[2**63 - 1]], np.int64)}, {})
    page, _ = docs_page(metadata(), example)
    assert data_of(page)["example"][0]["data"] == [str(2**63 - 1)]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("page")
    registry = str(directory / "registry")
    version = scaling_bundle(directory).publish(registry)
    with http_api(served(registry, str(version.pin), directory)) as url:
        yield url


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(window: Browser, api: str) -> Browser:
    window.prefer("light")
    window.resize(1280, 1100)
    window.open(f"{api}/v2/models/fraud/versions/prod/docs")
    window.console()
    return window


def test_the_model_serves_its_page(api: str) -> None:
    import urllib.request

    for path in ("/v2/models/fraud/docs", "/v2/models/fraud/versions/1/docs"):
        with urllib.request.urlopen(f"{api}{path}", timeout=10) as answer:
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert "default-src 'none'" in answer.headers["content-security-policy"]


@in_a_browser
def test_the_fields_have_the_names_of_the_columns(
    window: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = frame_server(tmp_path_factory.mktemp("frame"))
    with http_api(lambda event: respond(event, Call(), server)) as url:
        window.open(f"{url}/v2/models/fraud/docs")
        names = (
            "return [...document.querySelectorAll('#fields th[scope=row]')].map(x => x.textContent)"
        )
        assert window.run(names) == ["age", "height"]


@in_a_browser
def test_the_answer_has_the_names_of_the_classes(
    window: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    model = LogisticRegression().fit(rows, np.where(rows[:, 0] > 0, "stays", "<leaves>"))
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    pin = push_model(model, "churn", example=rows, registry=registry).pin
    server = ModelServer(settings_of(registry, pin, tmp_path_factory.mktemp("churn")))
    with http_api(lambda event: respond(event, Call(), server)) as url:
        window.open(f"{url}/v2/models/churn/docs")
        window.click("#send")
        window.wait_for("return document.querySelector('#answer td')")
        names = "return [...document.querySelectorAll('#answer thead th')].map(x => x.textContent)"
        shown = ["Row", "label", "probabilities[<leaves>]", "probabilities[stays]"]
        assert window.run(names) == shown


@in_a_browser
def test_half_floats_are_sent_as_bytes_and_shown(
    window: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("halves")
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    values = [[0.1, -2.5], [65504, 6e-8], [1 / 3, np.nan], [2049, -0.0]]
    version = push_model(
        lambda x: x,
        "halves",
        example=np.array(values, np.float16),
        format="cloudpickle",
        registry=registry,
    )
    settings = replace(settings_of(registry, version.pin, directory), allow_pickle=True)
    server = ModelServer(settings)
    with http_api(lambda event: respond(event, Call(), server)) as url:
        window.open(f"{url}/v2/models/halves/docs")
        window.type(
            "[aria-label='X[0], row 1']", "2049"
        )  # halfway between two values: rounds to even
        window.type("[aria-label='X[1], row 1']", "1e-7")  # subnormal
        window.click("#send")
        window.wait_for("return document.querySelector('#answer td')")
        answered = json.loads(window.text("#raw-text"))["outputs"][0]["data"]
    sent = np.array([2049, 1e-7, *np.ravel(values[1:3])], np.float16)
    assert [np.nan if each is None else each for each in answered] == pytest.approx(
        sent.tolist(), rel=0, abs=0, nan_ok=True
    )


@in_a_browser
def test_a_model_of_texts_has_a_field_of_several_lines_for_each(
    window: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("texts")
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    folder = classifier_folder(directory / "classifier")
    version = push_model(folder, "mood", example=TEXTS, measure=False, registry=registry)
    server = ModelServer(settings_of(registry, version.pin, directory / "scratch"))
    with http_api(lambda event: respond(event, Call(), server)) as url:
        window.open(f"{url}/v2/models/mood/docs")
        shown = "return [...document.querySelectorAll('#fields textarea')].map(x => x.value)"
        assert window.run(shown) == TEXTS
        window.type("[aria-label='text, row 1']", 'a "good" film, ' * 20)
        window.click("#send")
        window.wait_for("return document.querySelector('#answer td')")
        assert "1 text was longer than the model reads." in window.text("#state")
        cells = window.run(
            "return [...document.querySelectorAll('#answer td')].map(x => x.textContent)"
        )
        assert cells[1] in ("bad", "good")
        window.screenshot(SCREENSHOTS / "texts.png")


@in_a_browser
def test_the_form_is_filled_with_the_example_and_answers(page: Browser) -> None:
    assert page.text("h1") == "fraud"
    assert page.text("[aria-current]") == "prod: version 1"
    page.type("[aria-label='X[0], row 1']", "10.5")
    page.click("#send")
    page.wait_for("return document.querySelector('#answer td')")
    cells = page.run("return [...document.querySelectorAll('#answer td')].map(x => x.textContent)")
    assert cells == ["1", "21", "4", "2", "6", "8", "3", "10", "12"]
    assert re.fullmatch(r"Answered by version 1 in [\d.]+ ms\.", page.text("#state"))
    raw = json.loads(page.text("#raw-text"))
    assert raw["outputs"][0]["data"] == [21, 4, 6, 8, 10, 12]
    page.screenshot(SCREENSHOTS / "light.png")


@in_a_browser
def test_rows_are_added_and_removed(page: Browser) -> None:
    page.click("#add")
    page.click("#remove")
    page.click("#remove")
    page.click("#send")
    page.wait_for("return document.querySelectorAll('#answer tbody tr').length === 2")


@in_a_browser
def test_an_invalid_number_is_reported_and_its_field_focused(page: Browser) -> None:
    page.type("[aria-label='X[1], row 2']", "much")
    page.click("#send")
    page.wait_for("return document.querySelector('#error strong')")
    assert 'X[1], row 2, must be a number, not "much"' in page.text("#error")
    assert page.run("return document.activeElement.ariaLabel") == "X[1], row 2"
    assert page.run("return document.activeElement.ariaInvalid") == "true"
    assert page.run("return document.activeElement.getAttribute('aria-describedby')") == "error"
    assert page.text("#shell") == '# X[1], row 2, must be a number, not "much".'
    page.screenshot(SCREENSHOTS / "error.png")


@in_a_browser
def test_an_error_of_the_server_is_shown_with_the_next_step(page: Browser) -> None:
    page.type("[aria-label='X[0], row 1']", "1e300")
    page.click("#send")
    page.wait_for("return document.querySelector('#error strong')")
    assert page.text("#error strong") == "Invalid input (400)"
    assert "inputs[0]" in page.text("#error")


@in_a_browser
def test_a_slow_answer_is_offered_as_a_job(window: Browser, tmp_path: Path) -> None:
    function = JobFunction(tmp_path, jobs=str(tmp_path / "jobs"))
    function.server.start()
    with served_with_jobs(function) as url:
        window.open(f"{url}/v2/models/fraud/docs")
        window.click("#send")
        window.wait_for("return document.querySelector('#answer td')")
        assert window.run("return document.querySelector('#later').hidden")
        # The page's clock shows eleven seconds more at each look.
        window.run(
            "const now = performance.now.bind(performance); let n = 0;"
            "performance.now = () => now() + 11000 * n++;"
        )
        window.click("#send")
        window.wait_for("return !document.querySelector('#later').hidden")
        window.click("#run-later")
        window.wait_for("return document.querySelector('#job a')")
        assert window.text("#job").startswith("Answered by version 1.")
        link = window.run("return document.querySelector('#job a').href")
        with urllib.request.urlopen(link, timeout=20) as answer:
            assert json.load(answer)["outputs"][0]["data"] == [2, 4, 6, 8, 10, 12]


@in_a_browser
def test_the_calls_to_copy_have_the_values_of_the_form(page: Browser) -> None:
    page.type("[aria-label='X[0], row 1']", "42")
    assert "/v2/models/fraud/versions/prod/infer" in page.text("#shell")
    assert '"data": [42, 2, 3, 4, 5, 6]' in page.text("#shell")
    assert 'model="fraud", alias="prod"' in page.text("#python")
    compile(page.text("#python"), "page", "exec")


@in_a_browser
def test_the_calls_to_copy_sign_where_the_api_requires_it(window: Browser, api: str) -> None:
    path = "/v2/models/fraud/versions/prod/docs"
    signed = {"api": "https://models.example.com", "region": "eu-west-1"}
    with serving(HttpUpstream(api, Authorization.choose("127.0.0.1")), path, signed) as url:
        window.open(url)
        assert 'alias="prod", auth="iam", region="eu-west-1")' in window.text("#python")
        assert "--aws-sigv4" in window.text("#shell")


@in_a_browser
def test_the_page_works_with_the_keyboard_only(page: Browser) -> None:
    page.run("document.querySelector('[aria-label=\"X[0], row 1\"]').focus()")
    page.press("\ue007")  # Enter
    page.wait_for("return document.querySelector('#answer td')")
    assert page.run("return document.getElementById('state').ariaLive") == "polite"
    page.run("document.getElementById('send').focus()")
    page.press("\ue00d")  # Space
    page.wait_for("return document.querySelector('#state').textContent.startsWith('Answ')")
    assert page.run("return document.activeElement.id") == "send"
    unnamed = page.run(
        "return [...document.querySelectorAll('input, select, textarea, button')]"
        ".filter(x => !x.ariaLabel && !x.labels?.length && !x.textContent.trim()).length"
    )
    assert unnamed == 0


@in_a_browser
def test_the_page_is_dark_if_the_user_prefers_that(page: Browser) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = page.run(ground)
    page.prefer("dark")
    assert page.run(ground) != light
    page.click("#send")
    page.wait_for("return document.querySelector('#answer td')")
    page.screenshot(SCREENSHOTS / "dark.png")


@in_a_browser
def test_a_narrow_screen_needs_no_horizontal_scrolling(page: Browser) -> None:
    page.resize(360, 740)
    page.click("#send")
    page.wait_for("return document.querySelector('#answer td')")
    root = "document.documentElement"
    assert page.run(f"return {root}.scrollWidth <= {root}.clientWidth")
    page.screenshot(SCREENSHOTS / "narrow.png")


@in_a_browser
def test_the_pages_own_policy_blocks_nothing(page: Browser) -> None:
    page.click("#send")
    page.wait_for("return document.querySelector('#answer td')")
    assert [line for line in page.console() if "Content Security Policy" in line] == []


@in_a_browser
def test_inputs_of_every_datatype_are_sent_unchanged(window: Browser) -> None:
    def spec(name: str, datatype: str, *shape: int) -> dict[str, Any]:
        return {"name": name, "datatype": datatype, "shape": list(shape)}

    inputs = [
        spec("country", "BYTES", -1, 1),
        spec("id", "INT64", -1),
        spec("known", "BOOL", -1, 1),
        spec("image", "FP32", 2, -1),
    ]
    values = {
        "country": np.array([["it's"]], object),
        "id": np.array([2**63 - 1]),
        "known": np.array([[True]]),
        "image": np.array([[1.5, 2], [3, 4]], np.float32),
    }
    html, headers = docs_page(metadata("mixed", *inputs), Example(values, {}))
    sent: list[dict[str, Any]] = []

    def function(event: dict[str, Any]) -> dict[str, Any]:
        path, kind = event["rawPath"], {"content-type": "application/json"}
        document: object = {"outputs": [], "model_version": "7"}
        if path.endswith("/docs"):
            return answer(html, headers | {"content-type": "text/html; charset=utf-8"})
        if path == "/v2/repository/index":
            entry = {"name": "mixed", "version": "7", "aliases": ["prod", "shadow"]}
            document = [entry, {**entry, "name": "other", "aliases": ["blue"]}]
        else:
            sent.append(json.loads(event["body"]))
        return answer(json.dumps(document), kind)

    with http_api(function) as url:
        window.open(f"{url}/v2/models/mixed/docs")
        aliases = "[...document.querySelectorAll('#versions a')].map(x => x.textContent)"
        window.wait_for("return document.querySelector('#versions a')")
        assert window.run(f"return {aliases}") == ["prod: version 7", "shadow: version 7"]
        assert "'\\''" in window.text("#shell")
        compile(window.text("#python"), "page", "exec")
        window.click("#send")
        window.wait_for("return document.querySelector('#state').textContent.startsWith('Answ')")
    data = {tensor["name"]: (tensor["shape"], tensor["data"]) for tensor in sent[0]["inputs"]}
    assert data == {
        "country": ([1, 1], ["it's"]),
        "id": ([1], [2**63 - 1]),
        "known": ([1, 1], [True]),
        "image": ([2, 2], [[1.5, 2], [3, 4]]),
    }


def answer(body: str, headers: dict[str, str]) -> dict[str, Any]:
    return {"statusCode": 200, "headers": headers, "body": body, "isBase64Encoded": False}


def ask_the_page(
    window: Browser, document: Any, answered: Any, example: Example
) -> list[dict[str, Any]]:
    """Open a model's page, send its example, and return what was sent."""
    html, headers = docs_page(document, example)
    sent: list[dict[str, Any]] = []

    def function(event: dict[str, Any]) -> dict[str, Any]:
        if event["rawPath"].endswith("/docs"):
            return answer(html, headers | {"content-type": "text/html; charset=utf-8"})
        if event["rawPath"].endswith("/infer"):
            sent.append(json.loads(event["body"]))
        return answer(json.dumps(answered), {"content-type": "application/json"})

    with http_api(function) as url:
        window.open(f"{url}/v2/models/fraud/docs")
        window.click("#send")
        window.wait_for("return document.querySelector('#state').textContent.startsWith('Answ')")
    return sent


@in_a_browser
def test_a_single_value_is_sent_as_a_list(window: Browser) -> None:
    scalar = {"name": "threshold", "datatype": "FP32", "shape": []}
    example = Example({"threshold": np.array(0.5, np.float32)}, {})
    answered = {"model_version": "7", "outputs": []}
    (sent,) = ask_the_page(window, metadata("fraud", scalar), answered, example)
    assert sent["inputs"] == [{**scalar, "data": [0.5]}]
    compile(window.text("#python"), "page", "exec")


@in_a_browser
def test_a_64_bit_integer_is_shown_with_all_its_digits(window: Browser) -> None:
    label = {"name": "label", "datatype": "INT64", "shape": [2], "data": [2**63 - 1, 3]}
    answered = {"model_version": "7", "outputs": [label]}
    ask_the_page(window, metadata(), answered, Example({"X": np.ones((1, 2), np.float32)}, {}))
    cells = window.run(
        "return [...document.querySelectorAll('#answer td')].map(x => x.textContent)"
    )
    assert cells == ["1", str(2**63 - 1), "2", "3"]
    assert json.loads(window.text("#raw-text")) == answered


@in_a_browser
def test_a_table_that_is_cut_shows_the_total(window: Browser) -> None:
    wide = {"name": "Y", "datatype": "FP32", "shape": [123, 40], "data": [0.5] * 4920}
    answered = {"model_version": "7", "outputs": [wide]}
    ask_the_page(window, metadata(), answered, Example({"X": np.ones((1, 2), np.float32)}, {}))
    shown = "Showing the first 100 of 123 rows and the first 24 of 40 columns. "
    assert window.text("#answer p") == f"{shown}The raw response has all values."


@in_a_browser
def test_a_model_with_markup_in_its_names_is_shown_and_not_run(
    window: Browser,
) -> None:
    tensor = {"name": ATTACK, "datatype": "BYTES", "shape": [-1, 1]}
    example = Example({ATTACK: np.array([[ATTACK]], object)}, {})
    html, headers = docs_page(metadata(ATTACK, tensor), example, ATTACK)
    headers |= {"content-type": "text/html; charset=utf-8"}
    with http_api(lambda _: answer(html, headers)) as url:
        window.open(f"{url}/v2/models/x/docs")
        assert window.text("h1") == ATTACK
        assert window.run("return document.title") == ATTACK
        assert window.run("return document.querySelectorAll('img').length") == 0
        assert window.run("return document.querySelector('#fields input').value") == ATTACK


@pytest.fixture(scope="module")
def cats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a model of pictures."""
    directory = tmp_path_factory.mktemp("pictures")
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    version = push_model(
        mean_colours(),
        "cats",
        example=[drawn()],
        image=Image(size=SIDE),
        classes=COLOURS,
        registry=registry,
    )
    server = ModelServer(settings_of(registry, version.pin, directory / "scratch"))
    with http_api(lambda event: respond(event, Call(), server)) as url:
        yield f"{url}/v2/models/cats/docs"


#: The name of each picture that was answered, and its classes, the best first.
_TOP = """return [...document.querySelectorAll('#answer .pictures > li')].map((item) => [
    item.querySelector('img').alt,
    ...[...item.querySelectorAll('ol span:first-child')].map((x) => x.textContent)])"""


@in_a_browser
def test_pictures_that_are_dropped_are_shown_with_their_top_classes(
    window: Browser, cats: str
) -> None:
    window.open(cats)
    window.console()
    assert window.run("return document.querySelector('.drop img').alt") == "example 1"
    window.click("#send")
    assert window.wait_for(f"{_TOP}[0]")[:2] == ["example 1", "red"]
    files = {
        "blue.jpg": file_of(drawn(colour="blue"), "JPEG"),
        "green.png": file_of(drawn(colour="lime")),
    }
    texts = {name: b64encode(data).decode() for name, data in files.items()}
    window.run(
        """const drop = new DataTransfer();
        for (const [name, text] of Object.entries(arguments[0])) {
          const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
          drop.items.add(new File([bytes], name));
        }
        const event = new DragEvent('drop', { dataTransfer: drop });
        document.querySelector('.drop').dispatchEvent(event);""",
        texts,
    )
    window.wait_for("return document.querySelectorAll('.drop img').length === 2")
    assert "--data-binary '@blue.jpg'" in window.text("#shell")
    assert 'model.infer(["blue.jpg","green.png"])' in window.text("#python")
    window.click("#send")
    answered = f"const found = (() => {{ {_TOP} }})(); return found.length === 2 && found"
    shown = window.wait_for(answered)
    assert [row[:2] for row in shown] == [["blue.jpg", "blue"], ["green.png", "green"]]
    images = "[...document.querySelectorAll('.pictures img')]"
    window.wait_for(f"return {images}.every((x) => x.naturalWidth === 90)")
    window.screenshot(SCREENSHOTS / "pictures.png")
    assert window.console() == []


@in_a_browser
def test_a_file_that_is_no_picture_is_answered_with_the_reason(
    window: Browser, cats: str, tmp_path: Path
) -> None:
    window.open(cats)
    window.click(".drop li button")
    window.click("#send")
    assert "Choose a picture." in window.text("#error")
    (tmp_path / "notes.png").write_bytes(b"no picture")
    window.choose("#pictures", tmp_path / "notes.png")
    window.wait_for("return document.querySelector('.drop img')")
    window.click("#send")
    window.wait_for("return document.querySelector('#error').textContent.includes('not a JPEG')")


def test_large_pictures_of_the_example_are_not_in_the_page() -> None:
    parameters = {"content": "image"}
    tensor = {"name": "image", "datatype": "BYTES", "shape": [-1], "parameters": parameters}
    for size, count in ((1000, 1), (600_000, 0)):
        picture = np.empty(1, object)
        picture[0] = bytes(size)
        page, _ = docs_page(metadata("cats", tensor), Example({"image": picture}, {}))
        assert len(data_of(page)["example"]) == count

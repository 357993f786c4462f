"""JSON stays JSON, whatever stands there; what is JSON and no YAML is read."""

from __future__ import annotations

import json

import pytest
import yaml

from tagflow.domain.reference import Digest
from tagflow.errors import UsageError
from tagflow.pin import source
from tagflow.pin.edit import FORMS, Form
from tests.pin.shop import DIGEST, NEW, OLD, pinned


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("old", ["null", '""', '"v0.9"', "1.10", "1", "1e3", "true"])
@pytest.mark.parametrize("version", ["v1.1", "1.10"])
@pytest.mark.parametrize(
    "text",
    [
        '{"image":{"repository":"acme/web","tag":%s}}',
        '{"image":{"repository":"acme/web", "digest":null, "tag": %s}}\n',
        '{"tag":%s,"registry":null,"repository":"acme/web","digest":""}',
        '[{"images":[{"name":"acme/web","newTag":%s}]}]',
    ],
)
def test_what_is_written_is_json(text: str, old: str, version: str, form: Form) -> None:
    before = text % old
    once = pinned(before, form=form, version=version)
    told = json.loads(once.text)
    flat = json.dumps(told)
    assert f'ag": "{version}' in flat
    assert pinned(once.text, form=form, version=version).changes == ()
    assert json.loads(before).keys() == told.keys() if isinstance(told, dict) else len(told) == 1


@pytest.mark.parametrize("old", ["null", f'"{OLD}"'])
def test_a_digest_alone(old: str) -> None:
    once = pinned(f'{{"repository":"acme/web","digest":{old}}}')
    assert json.loads(once.text) == {"repository": "acme/web", "digest": DIGEST}


@pytest.mark.parametrize("before", ["~", "null", "1.10", ""])
def test_documents_with_quoted_keys_are_quoted_too(before: str) -> None:
    """Several JSON documents are a stream of YAML."""
    text = '{"repository":"acme/web","tag":%s}\n---\n{"a":1}\n'
    assert pinned(text % before).text.replace(": ", ":") == text % f'"{NEW}"'


ODD = {
    "a pair of surrogates": r"\ud83d\ude00",
    "in capitals": r"\uD83D\uDE00",
    "one alone": r"\ud83d",
    "one behind a backslash": r"\\ud83d",
    "DEL": "\x7f",
    "a control character": "\x80",
    "no character": "\uffff",
    "escapes": r"\/\b\f\u0000\n",
}


@pytest.mark.parametrize("python", [False, True])
@pytest.mark.parametrize("case", ODD)
def test_what_json_may_hold(case: str, python: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if python:
        monkeypatch.setattr(source, "_LOADER", yaml.SafeLoader)
    text = f'{{\n\t"{ODD[case]}":\t"{ODD[case]}",\n\t"a": {{"image":"acme/web:v1.0"}}\n}}\n'
    json.loads(text)
    assert pinned(text).text == text.replace("v1.0", NEW)


def test_in_yaml_such_escapes_are_refused() -> None:
    with pytest.raises(UsageError, match="this is not YAML"):
        pinned('a: "\\ud83d\\ude00"\nimage: acme/web:v1.0\n')


def test_an_escape_in_a_reference_is_refused() -> None:
    with pytest.raises(UsageError, match=r"file\.yaml:1:10: the reference is not written as it reads"):
        pinned('{"image":"acme\\u002fweb:v1.0"}', digests={"web": Digest(DIGEST)})

"""What is wrong is told: where, what, and what to do; all of it at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tagflow.config import load_policy
from tagflow.domain.reference import masked
from tagflow.errors import UsageError
from tests.config.samples import MINIMAL, load, mistakes, refuse, with_environment


def test_all_at_once_with_places_and_details() -> None:
    error = refuse(
        "version: 1\n"
        "regsitry: x\n"
        "registry: docker.io/acme\n"
        "images:\n"
        "  web: web\n"
        "  api: 1.10\n"
        "environments:\n"
        "  latest:\n"
        "  prod: {soak: 24}\n"
        "engine: dockre\n"
    )
    assert [(detail["line"], detail["column"]) for detail in error.details] == [
        (2, 1),
        (6, 8),
        (8, 3),
        (9, 16),
        (10, 9),
    ]
    assert error.message.splitlines() == [
        "promotion.yaml:2:1: unknown key 'regsitry'. Did you mean 'registry'?",
        'promotion.yaml:6:8: images.api: 1.10 is read as a number, expected a repository. Quote it: "1.10".',
        "promotion.yaml:8:3: an environment cannot be called 'latest': latest is a floating tag. Choose another name.",
        "promotion.yaml:9:16: environments.prod.soak: 24 is read as a number, expected a duration. "
        "Write a number and its unit, d, h, m or s: 45s, 90m, 1h30m, 7d.",
        "promotion.yaml:10:9: engine is 'dockre', expected one of auto, docker, registry. Did you mean 'docker'?",
    ]
    assert error.details[0] == {
        "file": "promotion.yaml",
        "line": 2,
        "column": 1,
        "message": "unknown key 'regsitry'",
        "hint": "Did you mean 'registry'?",
    }


TOP = [
    ("version: 1\n", "", ":1:1: the key 'version' is missing"),
    ("version: 1\n", "version: 2\n", ":1:10: version is '2', expected 1"),
    ("version: 1\n", 'version: "1"\n', ":1:10: version is '1', expected 1. Write 1 without quotes."),
    ("registry: docker.io/acme\n", "", ":1:1: the key 'registry' is missing. For example registry: docker.io/acme."),
    ("docker.io/acme", "", ":2:10: registry has no value. For example registry: docker.io/acme."),
    ("docker.io/acme", "''", ":2:11: registry is empty"),
    ("docker.io/acme", "https://docker.io", ":2:11: 'https://docker.io' is not a registry"),
    ("docker.io/acme", "docker.io/Acme", ":2:11: 'Acme' is not a namespace of repositories. Use lower-case letters"),
    ("docker.io/acme", "docker.io/acme/", ":2:11: 'docker.io/acme/' ends in '/'. Write 'docker.io/acme'."),
    ("docker.io/acme", "localhost:99999/x", ":2:11: 99999 is no port. A port is a number from 1 to 65535."),
    ("docker.io/acme", "localhost:0/x", ":2:11: 0 is no port. A port is a number from 1 to 65535."),
    ("docker.io/acme", "'[::1::]:5000/x'", ":2:11: '[::1::]' is no IPv6 address"),
    ("docker.io/acme", "5000", ':2:11: registry: 5000 is read as a number, expected a registry. Quote it: "5000".'),
    ("docker.io/acme", "[a]", ":2:11: registry is a list, expected a registry"),
    ("images: {app: app}\n", "", ":1:1: the key 'images' is missing"),
    ("{app: app}", "{}", ":3:9: there is no image"),
    ("{app: app}", "", ":3:8: images has no value. For example images: {frontend: frontend"),
    ("{app: app}", "[app]", ":3:9: images is a list, expected a mapping. For example images: {frontend: frontend"),
    ("{app: app}", "{app: [app]}", ":3:15: images.app is a list, expected text or a mapping"),
    ("{app: app}", "{app: {}}", ":3:15: images.app: the key 'repository' is missing"),
    ("{app: app}", "{app: {repo: x, repository: y}}", ":3:16: images.app: unknown key 'repo'"),
    ("{app: app}", "{app: App}", ":3:15: 'acme/App' is not a repository name"),
    ("{app: app}", "{app: app:1.0}", ":3:15: 'acme/app:1.0' is not a repository name"),
    ("{app: app}", "{app: a, app: b}", ":3:18: the key 'app' stands here twice, first in line 3, column 10. Keep one."),
    ("{app: app}", "{app: app, web: {repository: app}}", ":3:38: 'web' and 'app' are both in the repository docker.io"),
    ("{app: app}", "{1.0: app}", ":3:10: images.1.0: 1.0 is read as a number, expected an image name"),
    ("{app: app}", "{on: app}", ":3:10: images.on: on is read as true or false, expected an image name. Quote it"),
    ("{app: app}", "{v1: app}", ":3:10: an image cannot be called 'v1': it reads as a version"),
    ("{app: app}", "{sha256-ab: app}", ":3:10: an image cannot be called 'sha256-ab': it reads as a digest"),
    ("{app: app}", "{-a: app}", ":3:10: images.-a: '-a' is not an image name. Begin with a letter or digit"),
    ("{app: app}", "{prod: app}", ":3:10: 'prod' is an image and an environment"),
    ("{app: app}", "{? [a] : app}", ":3:12: a key is one name, not a list or mapping"),
    ("environments: {dev: {}, prod: {}}\n", "", ":1:1: the key 'environments' is missing"),
    ("{dev: {}, prod: {}}", "{}", ":4:15: environments is empty. For example environments: {dev: {}"),
    ("{dev: {}, prod: {}}", "[dev, prod]", ":4:15: environments is a list, expected a mapping"),
    ("{dev: {}, prod: {}}", "{dev: {}, Prod: {}}", ":4:25: environments.Prod: 'Prod' is not an environment name"),
    ("{dev: {}, prod: {}}", "{dev: {}, rc1: {}}", ":4:25: an environment cannot be called 'rc1': v1.0-rc1 is a pre-r"),
    ("{dev: {}, prod: {}}", "{dev: {}, 1-0: {}}", ":4:25: an environment cannot be called '1-0': it reads as a vers"),
    ("{dev: {}, prod: {}}", "{dev: {}, no: {}}", ":4:25: environments.no: no is read as true or false"),
    ("{dev: {}, prod: {}}", "{dev: {}, null: {}}", ":4:25: environments.null: null is read as nothing, expected"),
    ("{dev: {}, prod: {}}", "{dev: {}, ~: {}}", ":4:25: environments.~: ~ is read as nothing, expected an environment"),
    ("{app: app}", "{null: app}", ":3:10: images.null: null is read as nothing, expected an image name. Quote it"),
    ("{dev: {}, prod: {}}", "{dev: {from: [dev]}}", ":4:22: 'dev' is the first environment: it is promoted from none"),
    ("{dev: {}, prod: {}}", "{dev: {soak: 1h}}", ":4:22: 'dev' is the first environment: it has none above it"),
    ("{dev: {}, prod: {}}", "{dev: {}, prod: yes}", ":4:31: environments.prod is true or false, expected a mapping"),
]


@pytest.mark.parametrize(("before", "after", "line"), TOP)
def test_top(before: str, after: str, line: str) -> None:
    assert before in MINIMAL
    (found,) = mistakes(MINIMAL.replace(before, after))
    assert found.startswith("promotion.yaml" + line)


RULES = [
    ("{form: [dev]}", 10, "environments.prod: unknown key 'form'. Did you mean 'from'?"),
    ("{from: dev}", 16, "environments.prod.from is 'dev', expected a list. Write [dev]."),
    ("{from: []}", 16, "environments.prod.from is empty. For example from: [staging]."),
    ("{from: [dve]}", 17, "there is no environment 'dve'. Did you mean 'dev'?"),
    ("{from: [prod]}", 17, "'prod' cannot be promoted from itself"),
    ("{from: [dev, dev]}", 22, "environments.prod.from names 'dev' twice"),
    ("{registry: a b}", 20, "'a b' is not a registry"),
    ("{prereleases: no}", 23, "environments.prod.prereleases is 'no', expected one of allow, deny"),
    ("{downgrades: denied}", 22, "environments.prod.downgrades is 'denied', expected one of allow, deny. Did you mean"),
    ("{soak: 1 day}", 16, "environments.prod.soak: '1 day' is not a duration. Write a number and its unit"),
    ("{soak: 30m1h}", 16, "environments.prod.soak: '30m1h' is not a duration"),
    ("{soak: 99999d}", 16, "'99999d' is too long. At most 3650d."),
    ("{soak: }", 16, "environments.prod.soak has no value. For example soak: 24h."),
    ("{freeze: [{}]}", 19, "a freeze window is either `days`, or `from` and `to`"),
    ("{freeze: [{from: 2026-01-01}]}", 19, "a freeze window is either `days`, or `from` and `to`"),
    ("{freeze: [{days: [mon], to: 2026-01-01}]}", 19, "a freeze window is either `days`, or `from` and `to`"),
    ("{freeze: [{days: [monday]}]}", 27, "environments.prod.freeze.days is 'monday', expected one of"),
    ("{freeze: [{days: []}]}", 26, "environments.prod.freeze.days is empty"),
    ("{freeze: [{days: [mon], timezone: Berlin}]}", 43, "there is no time zone 'Berlin'. Did you mean 'Europe/Berl"),
    ("{freeze: [{days: [mon], timezone: Europe}]}", 43, "there is no time zone 'Europe'"),
    ("{freeze: [{days: [mon], timezone: ../../etc/passwd}]}", 43, "there is no time zone '../../etc/passwd'"),
    ("{freeze: [{from: 2026-02-30, to: 2026-03-01}]}", 26, "environments.prod.freeze.from: '2026-02-30' is not a dat"),
    ("{freeze: [{from: 2026-03-02, to: 2026-03-01}]}", 42, "this window ends on 2026-03-01, before it begins"),
    ("{platforms: [amd64]}", 22, "environments.prod.platforms: 'amd64' is not a platform. Write os/architecture"),
    ("{labels: [1.0]}", 19, 'environments.prod.labels: 1.0 is read as a number, expected a label. Quote it: "1.0".'),
    ("{labels: [a, a]}", 22, "environments.prod.labels names 'a' twice"),
    ("{gates: [{run: x}]}", 18, "environments.prod.gates: the key 'name' is missing"),
    ("{gates: [{name: a, run: }]}", 33, "environments.prod.gates.run has no value"),
    ("{gates: [{name: a, run: ' '}]}", 33, "environments.prod.gates.run is empty"),
    ("{gates: [{name: a, run: '#'}, {name: b, run: \"''\"}]}", 54, "this command is empty"),
    ('{gates: [{name: a, run: "x \'y"}]}', 33, "this command cannot be split into words: no closing quotation"),
    (
        "{gates: [{name: a, run: 'x {refrence}'}]}",
        33,
        "unknown placeholder {refrence}. Did you mean {reference}?",
    ),
    (
        "{gates: [{name: a, run: 'sh -c \"x {enviroment}\"'}]}",
        33,
        "unknown placeholder {enviroment}. Did you mean {env",
    ),
    ("{gates: [{name: a, run: 'x {images}'}]}", 33, "unknown placeholder {images}. Did you mean {image}?"),
    ("{gates: [{name: a, run: x, timeout: 0s}]}", 45, "a gate needs some time"),
    ("{gates: [{name: a, run: x}, {name: a, run: y}]}", 44, "two gates of 'prod' are called 'a'"),
    ("{floating: [patch]}", 21, "environments.prod.floating is 'patch', expected one of latest, major, minor"),
    ("{overrides: [gates]}", 22, "environments.prod.overrides is 'gates', expected one of"),
    ("{overrides: none}", 21, "environments.prod.overrides is 'none', expected a list. Write [] for none."),
    (
        "{floating: Latest}",
        20,
        "environments.prod.floating is 'Latest', expected a list. For example floating: [latest",
    ),
    ("{freeze: fri}", 18, "environments.prod.freeze is 'fri', expected a list. For example freeze: [{days: [sat"),
    (
        "{freeze: {days: [fri]}}",
        18,
        "environments.prod.freeze is a mapping, expected a list. For example freeze: [{days",
    ),
    ("{gates: trivy}", 17, "environments.prod.gates is 'trivy', expected a list"),
    (
        "{approvals: alice}",
        21,
        "environments.prod.approvals is 'alice', expected a list. For example approvals: [{need",
    ),
    ("{overrides: hold}", 21, "environments.prod.overrides is 'hold', expected a list. Write [hold]."),
]


@pytest.mark.parametrize(("rules", "column", "text"), RULES)
def test_rules(rules: str, column: int, text: str) -> None:
    (found,) = mistakes(with_environment(rules))
    assert found.startswith(f"promotion.yaml:6:{column}: {text}")


REST = [
    ("tags: {version: v}", "{version} is missing in 'v'. It must stand there exactly once."),
    ("tags: {version: 'v{version}{version}'}", "{version} stands here more than once"),
    ("tags: {version: 'v{ver}'}", "unknown placeholder {ver}"),
    ("tags: {version: 'v {version}'}", "'v {version}' contains what no tag may contain"),
    ("tags: {version: 'v{version'}", "{version} is missing in 'v{version'"),
    ("tags: {version: '_{version}'}", "'_{version}' begins with '_': tagflow's own tags begin so"),
    ("tags: {version: '.{version}'}", "'.{version}' begins with '.': no tag may begin so"),
    ("tags: {combined: '{version}'}", "{environment} is missing in '{version}'"),
    ("tags: {combined: '{version}{environment}x{registry}'}", "unknown placeholder {registry}"),
    ("engine: podman", "engine is 'podman', expected one of auto, docker, registry"),
    ("history: {repository: history}", "history.repository: 'history' is not a template. It must contain {repository}"),
    (
        "history: {repository: '{repository}-{environment}'}",
        "unknown placeholder {environment}. There is: {repository}.",
    ),
    ("history: {repository: '{repository}/A'}", "'acme/app/A' is not a repository name"),
    ("referrers: drop", "referrers is 'drop', expected one of copy, ignore, require"),
    ("insecure_registries: [http://a]", "'http://a' is not a registry"),
    ("insecure_registries: ['a:99999']", "99999 is no port"),
    ("insecure_registries: [a/b]", "'a/b' is not a host"),
    ("insecure_registries: a", "insecure_registries is 'a', expected a list. Write [a]."),
    ("create_repositories: 'yes'", "create_repositories is 'yes', expected true or false. Write true or false"),
    ("create_repositories: 1", "create_repositories is a number, expected true or false"),
    ("notify: [{}]", "an entry of `notify` is either a `webhook` or a command to `run`"),
    ("notify: [{run: a, webhook: b}]", "an entry of `notify` is either a `webhook` or a command to `run`"),
    ("notify: [{webhook: ftp://a}]", "this is not an http or https URL"),
    ("notify: [{webhook: 'https://[a'}]", "this is not a URL"),
    ("notify: [{webhook: 'https://a:99999/'}]", "this is not a URL"),
    ("notify: [{webhook: 'https://a:0/'}]", "this is not an http or https URL"),
    ('notify: [{run: "\'"}]', "this command cannot be split into words"),
    ("notify:", "notify has no value. For example notify: [{webhook: https:"),
    ("include: [nowhere.yaml]", "the included file 'nowhere.yaml' cannot be read: No such file or directory"),
    ("include: [/]", "the included file '/' cannot be read: Is a directory"),
    ("include: a.yaml", "include is 'a.yaml', expected a list. Write [a.yaml]."),
]


@pytest.mark.parametrize(("line", "text"), REST)
def test_rest(line: str, text: str) -> None:
    (found,) = mistakes(MINIMAL + line + "\n")
    place, _, told = found.partition(": ")
    assert place.startswith("promotion.yaml:5:")
    assert told.startswith(text)


NOT_QUOTED = [
    MINIMAL.replace("{app: app}", "{1.0: app}"),
    MINIMAL.replace("{app: app}", "{2: app}"),
    MINIMAL.replace("prod:", "1.0:"),
    with_environment("{from: [1.0]}"),
    with_environment("{freeze: [{days: [mon], timezone: 1}]}"),
    MINIMAL + "tags: {version: 1}\n",
    MINIMAL + "tags: {combined: 1.0}\n",
    MINIMAL + "history: {repository: 1}\n",
    MINIMAL + "notify: [{webhook: 1}]\n",
    MINIMAL + "signers: {ci: {ssh: 1}}\n",
]


@pytest.mark.parametrize("text", NOT_QUOTED)
def test_no_quotes_are_advised_where_the_next_refusal_follows(text: str) -> None:
    told = [it for it in mistakes(text) if "is read as" in it]
    assert len(told) == 1
    assert "Quote it" not in told[0]
    assert re.search("(Choose|Write|Use|For example|It must) .+[.]$", told[0])


MEANT = [
    ("utc", "UTC"),
    ("Z", "UTC"),
    ("europe/berlin", "Europe/Berlin"),
    ("US/eastern", "US/Eastern"),
    ("Berlin", "Europe/Berlin"),
    ("New York", "America/New_York"),
    ("Germany/Berlin", "Europe/Berlin"),
    ("Europe/Berln", "Europe/Berlin"),
    ("Americas/Chicago", "America/Chicago"),
]
GUESSED = ["CEST", "PST", "IST", "JST", "BST", "MSK", "EDT", "UTC+1", "GMT+1", "GMT-1", "+01:00", "Etc/GMT+15", "West",
           "ACT", "US/Estern", "Europe/Hamburg", "Germany"]  # fmt: skip
"""Near names of these are hours away."""


@pytest.mark.parametrize(("text", "name"), MEANT)
def test_a_time_zone_that_is_meant(text: str, name: str) -> None:
    (found,) = mistakes(with_environment(f"{{freeze: [{{days: [mon], timezone: '{text}'}}]}}"))
    assert found.endswith(f"there is no time zone '{text}'. Did you mean '{name}'?")


@pytest.mark.parametrize("text", GUESSED)
def test_no_time_zone_is_guessed(text: str) -> None:
    (found,) = mistakes(with_environment(f"{{freeze: [{{days: [mon], timezone: '{text}'}}]}}"))
    assert "Did you mean" not in found
    assert found.endswith("Write a name of the IANA database, for example Europe/Berlin, or UTC.")


@pytest.mark.parametrize(
    "word", ["alpha", "beta", "rc", "pre", "preview", "snapshot", "rc1", "beta22", "v1", "1", "2024"]
)
def test_environments_that_read_as_something_else(word: str) -> None:
    (found,) = mistakes(MINIMAL.replace("prod:", f'"{word}":'))
    assert f"an environment cannot be called '{word}'" in found


@pytest.mark.parametrize("word", ["pre-prod", "preprod", "rc-eu", "v", "stage1", "1st", "prod-2"])
def test_environments_that_only_look_so(word: str) -> None:
    assert load(MINIMAL.replace("prod:", f'"{word}":')).environments[1].name == word


def test_names_that_are_versions_under_the_template() -> None:
    text = MINIMAL.replace("prod:", "r-1:").replace("{app: app}", "{r-2.0: x}") + "tags: {version: 'r-{version}'}\n"
    images, environments = mistakes(text)
    assert images.startswith("promotion.yaml:3:10: the image 'r-2.0' reads as a version under the template")
    assert environments.startswith("promotion.yaml:4:25: the environment 'r-1' reads as a version under the template")


def test_templates_whose_tags_cannot_be() -> None:
    (found,) = mistakes(MINIMAL + f"tags: {{combined: '{'x' * 125}{{version}}{{environment}}'}}\n")
    assert found.startswith("promotion.yaml:5:18: with these templates, ")


@pytest.mark.parametrize(
    ("combined", "environments", "tag"),
    [("{environment}{version}", "{a: , a1: }", "a11.2.3"), ("{version}{environment}", "{a: , 1a: }", "1.2.31a")],
)
def test_templates_whose_tags_are_those_of_another_environment(combined: str, environments: str, tag: str) -> None:
    text = MINIMAL.replace("{dev: {}, prod: {}}", environments)
    (found,) = mistakes(text + f"tags: {{version: '{{version}}', combined: '{combined}'}}\n")
    assert f"with these templates, {tag} would be read as release 1.2.3 in" in found
    assert load(text + "tags: {combined: '{environment}.{version}'}\n")


class TestRepositories:
    def test_two_images_through_two_registries(self) -> None:
        text = (
            "version: 1\nregistry: host/a\nimages:\n  one: b/x\n  two: x\n"
            "environments:\n  dev:\n  prod: {registry: host/a/b}\n"
        )
        (found,) = mistakes(text)
        assert found.startswith("promotion.yaml:5:8: 'two' and 'one' are both in the repository host/a/b/x")
        assert "'one' stands in promotion.yaml:4:8" in found

    def test_the_official_images_of_docker_hub(self) -> None:
        text = MINIMAL.replace("docker.io/acme", "docker.io").replace("{app: app}", "{a: x, b: library/x}")
        assert "'b' and 'a' are both in the repository docker.io/library/x" in mistakes(text)[0]

    def test_a_history_in_the_repository_of_an_image(self) -> None:
        text = MINIMAL.replace("{app: app}", "{a: a, b: a-history}")
        load(text)
        (found,) = mistakes(text + "history: {repository: '{repository}-history'}\n")
        assert "the history of 'a' would be in docker.io/acme/a-history, as 'b' is" in found


class TestAllAtOnceWhereTheRegistryIsWrong:
    """What else is wrong does not wait until the registry is right."""

    @pytest.mark.parametrize("registry", ["docker.io/Foo/bar", "'https://x'", "''"])
    def test_repositories(self, registry: str) -> None:
        text = MINIMAL.replace("docker.io/acme", registry).replace("{app: app}", "{a: A, b: a//b, c: x, d: x}")
        found = mistakes(text + "history: {repository: '{repository}-'}\n")
        assert len(found) == 5
        assert found[0].startswith("promotion.yaml:2:11: ")
        assert found[1].startswith("promotion.yaml:3:13: 'A' is not a repository name")
        assert found[2].startswith("promotion.yaml:3:19: 'a//b' is not a repository name")
        assert found[3].startswith("promotion.yaml:3:34: 'd' and 'c' are both in the repository x.")
        assert found[4].startswith("promotion.yaml:5:")

    def test_images_meet_in_another_spelling_of_one_registry(self) -> None:
        text = MINIMAL.replace("docker.io/acme", "r.example/acme").replace("{app: app}", "{a: x, b: acme/x}")
        (found,) = mistakes(text.replace("prod: {}", "prod: {registry: 'r.example:443'}"))
        assert "'b' and 'a' are both in the repository r.example/acme/x" in found

    def test_floating_tags_of_environments_that_share_it(self) -> None:
        text = with_environment("{floating: [latest]}").replace("dev:", "dev: {floating: [latest]}")
        _, found = mistakes(text.replace("docker.io/acme", "docker.io/Acme"))
        assert "the floating tag latest follows 'dev' and 'prod' in one registry" in found

    def test_floating_tags_of_environments_elsewhere(self) -> None:
        text = with_environment("{floating: [latest], registry: b/B}").replace(
            "dev:", "dev: {floating: [latest], registry: a/A}"
        )
        assert not any("follows" in found for found in mistakes(text))


def test_no_image_and_no_environment() -> None:
    text = MINIMAL.replace("{app: app}", "{}").replace("{dev: {}, prod: {}}", "{}")
    assert [found.partition(". ")[0] for found in mistakes(text)] == [
        "promotion.yaml:3:9: there is no image",
        "promotion.yaml:4:15: environments is empty",
    ]


@pytest.mark.parametrize("images", ["x", "{1.0: x}", "{? [a] : app}", "{a: 1.10}", "[a]", ""])
def test_no_image_is_no_second_mistake(images: str) -> None:
    assert not any("there is no image" in found for found in mistakes(MINIMAL.replace("{app: app}", images)))


class TestFloating:
    def test_two_owners_in_one_registry(self) -> None:
        text = with_environment("{floating: [major, latest]}").replace("dev:", "dev: {floating: [latest]}")
        (found,) = mistakes(text)
        assert found.startswith("promotion.yaml:6:28: the floating tag latest follows 'dev' and 'prod' in one registry")

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("r.example/acme", "r.example:443/acme"),
            ("r.example", "R.Example:443"),
            ("docker.io/acme", "index.docker.io/acme"),
            ("docker.io", "docker.io/library"),
        ],
    )
    def test_two_spellings_of_one_registry(self, one: str, other: str) -> None:
        text = with_environment("{floating: [latest], registry: 'OTHER'}").replace("OTHER", other)
        text = text.replace("registry: docker.io/acme", f"registry: {one}")
        (found,) = mistakes(text.replace("dev:", "dev: {floating: [latest]}"))
        assert "the floating tag latest follows 'dev' and 'prod' in one registry" in found
        load(text.replace("dev:", "dev: {floating: [latest], registry: 'r.example:444'}"))

    def test_one_owner_in_each_registry(self) -> None:
        text = with_environment("{floating: [latest], registry: docker.io/other}")
        load(text.replace("dev:", "dev: {floating: [latest]}"))

    def test_a_channel_belongs_to_one_environment_too(self) -> None:
        text = with_environment("{floating: [beta]}").replace("dev:", "dev: {floating: [rc, beta]}")
        (found,) = mistakes(text)
        assert "the floating tag beta follows 'dev' and 'prod' in one registry" in found

    @pytest.mark.parametrize(
        ("tags", "name", "text"),
        [
            ("{floating: '{floating}.5'}", "prod", "would be read as release"),
            ("{floating: '{floating}-prod'}", "prod", "v1-prod would be read as no tag of this policy"),
            ("{floating: 'x{floating}'}", "xv7", "'xv7' reads as a floating tag"),
            ("{floating: 'x{floating}'}", "xlatest", "reads as a floating tag"),
            ("{version: '{version}-alpine'}", "latest-alpine", "reads as a floating tag"),
        ],
    )
    def test_a_floating_tag_that_is_something_else(self, tags: str, name: str, text: str) -> None:
        policy = with_environment("{floating: [latest, major]}").replace("prod:", f"{name}:")
        assert any(text in found for found in mistakes(f"{policy}tags: {tags}\n"))

    @pytest.mark.parametrize("floating", ["x", "{floating}{floating}", "-{floating}", "{version}", "{floating}+"])
    def test_a_template_that_is_none(self, floating: str) -> None:
        (found,) = mistakes(f"{MINIMAL}tags: {{floating: '{floating}'}}\n")
        assert found.startswith("promotion.yaml:5:18: ")


class TestNatural:
    @pytest.mark.parametrize("name", ["2026-01", "1a", "01", "1-x"])
    def test_an_environment_that_reads_as_a_version(self, name: str) -> None:
        policy = with_environment("{}").replace("prod:", f'"{name}":')
        (found,) = mistakes(f"{policy}tags: {{versions: natural}}\n")
        assert f"an environment cannot be called '{name}'" in found or f"'{name}' reads as a version" in found

    def test_an_image_that_reads_as_a_version(self) -> None:
        text = MINIMAL.replace("{app: app}", "{1a: app}")
        load(text)
        (found,) = mistakes(f"{text}tags: {{versions: natural}}\n")
        assert "the image '1a' reads as a version" in found

    def test_there_is_no_other(self) -> None:
        (found,) = mistakes(f"{MINIMAL}tags: {{versions: calver}}\n")
        assert "tags.versions is 'calver', expected one of natural, semver" in found


class TestSources:
    def test_only_from_above(self) -> None:
        text = MINIMAL.replace("{dev: {}, prod: {}}", "{dev: {}, a: {from: [b]}, b: {from: [a]}}")
        (found,) = mistakes(text)
        assert "'b' stands below 'a', and an environment is promoted from those above it" in found

    def test_several(self) -> None:
        text = MINIMAL.replace("{dev: {}, prod: {}}", "{dev: {}, a: {}, b: {from: [dev]}, c: {from: [a, b]}}")
        assert [environment.sources for environment in load(text).environments] == [(), ("dev",), ("dev",), ("a", "b")]


class TestIncludes:
    def test_mistakes_in_every_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "a.yaml").write_text("images:\n  app: other\n  v2: x\n")
        (tmp_path / "sub" / "b.yaml").write_text("images: {\n")
        (tmp_path / "sub" / "c.yaml").write_text("images: {}\nregistry: x\n")
        (tmp_path / "sub" / "d.yaml").write_bytes(b"images:\n  x\xff: y\n")
        text = MINIMAL + "include: [sub/a.yaml, sub/b.yaml, sub/c.yaml, sub/d.yaml, ./sub/a.yaml]\nengine: x\n"
        (tmp_path / "promotion.yaml").write_text(text)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UsageError) as caught:
            load_policy(Path("promotion.yaml"))
        found = caught.value.message.splitlines()
        expected = [
            "promotion.yaml:5:59: the file './sub/a.yaml' is included already",
            "promotion.yaml:6:9: engine is 'x'",
            "sub/a.yaml:2:3: the image 'app' is listed twice, first in promotion.yaml:3:10",
            "sub/a.yaml:3:3: an image cannot be called 'v2'",
            "sub/b.yaml:2:1: this is not YAML",
            "sub/c.yaml:2:1: unknown key 'registry'",
            "sub/d.yaml:2:4: the byte 0xff is not UTF-8",
        ]
        assert len(found) == len(expected)
        for line, start in zip(found, expected, strict=True):
            assert line.startswith(start)

    def test_an_included_file_that_is_empty(self, tmp_path: Path) -> None:
        """`tagflow init` writes no such file."""
        (tmp_path / "a.yaml").write_text("# nothing yet\n")
        (tmp_path / "promotion.yaml").write_text(MINIMAL + "include: [a.yaml]\n")
        with pytest.raises(UsageError) as caught:
            load_policy(tmp_path / "promotion.yaml")
        assert caught.value.message.endswith("a.yaml:1:1: the file is empty. It lists `images`, or take it out.")

    def test_a_policy_that_includes_itself(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its keys and images are right, and not there a second time."""
        (tmp_path / "same.yaml").symlink_to("promotion.yaml")
        (tmp_path / "promotion.yaml").write_text(MINIMAL + "include: [promotion.yaml, ./same.yaml]\n")
        monkeypatch.chdir(tmp_path)
        for name in ("promotion.yaml", "same.yaml"):
            with pytest.raises(UsageError) as caught:
                load_policy(Path(name))
            assert caught.value.message.splitlines() == [
                f"{name}:5:11: the file 'promotion.yaml' is this policy itself. Name files that list images only.",
                f"{name}:5:27: the file './same.yaml' is this policy itself. Name files that list images only.",
            ]


class TestFiles:
    def test_missing(self, tmp_path: Path) -> None:
        for path in (tmp_path / "no.yaml", tmp_path / "file" / "no.yaml"):
            (tmp_path / "file").write_text("")
            with pytest.raises(UsageError) as caught:
                load_policy(path)
            assert (caught.value.code, caught.value.exit_status) == ("policy.not_found", 2)
            assert "tagflow init" in caught.value.hint

    @pytest.mark.parametrize("name", [".", "a\0b"])
    def test_unreadable(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UsageError) as caught:
            load_policy(tmp_path / name)
        assert caught.value.code == "policy.unreadable"

    def test_too_large(self, tmp_path: Path) -> None:
        (tmp_path / "promotion.yaml").write_text(MINIMAL + "#" * (4 * 1024 * 1024))
        with pytest.raises(UsageError, match="larger than 4 MiB"):
            load_policy(tmp_path / "promotion.yaml")

    def test_not_utf8(self, tmp_path: Path) -> None:
        (tmp_path / "promotion.yaml").write_bytes(MINIMAL.encode("utf-16"))
        with pytest.raises(UsageError, match=r"promotion.yaml:1:1: the byte 0xff is not UTF-8"):
            load_policy(tmp_path / "promotion.yaml")


class TestSecrets:
    def test_credentials_in_a_registry(self) -> None:
        text = MINIMAL.replace("docker.io/acme", "https://me:hunter2@host/acme")
        assert "hunter2" not in str(refuse(text).details) + refuse(text).message

    @pytest.mark.parametrize("address", ["hooks.example.com/hunter2", "https://a b/hunter2", "ftp://me:hunter2@host"])
    def test_webhooks(self, address: str) -> None:
        error = refuse(MINIMAL + f"notify: [{{webhook: '{address}'}}]\n")
        assert "hunter2" not in str(error.details) + error.message


@pytest.mark.parametrize(
    "secret",
    [
        "ci:SECRETXX@reg.io/x",
        "ci:SEC/RETXX-SECRETXX@reg.io/x",
        "https://ci:SECRETXX@reg.io/x",
        "https://SECRETXX@reg.io/x",
        "https://ci:pw@SECRETXX@reg.io/x",
        "https://hooks.slack.com/services/T0/B0/SECRETXX",
        "-----BEGIN PRIVATE KEY-----SECRETXX",
    ],
)
def test_no_secret_is_repeated_wherever_it_stands(secret: str) -> None:
    base = "version: 1\nregistry: {0}\nimages: {{a: {1}}}\nenvironments: {{dev: {{registry: {2}}}}}\n{3}"
    plain = ["reg.io", "a", "reg.io", ""]
    places = [*range(3), *("insecure_registries: [{}]", "include: [{}]", "notify: {}", "notify: [{}]", "engine: {}")]
    for place in places:
        values = list(plain)
        if isinstance(place, int):
            values[place] = repr(secret)
        else:
            values[3] = place.format(repr(secret)) + "\n"
        with pytest.raises(UsageError) as caught:
            load(base.format(*values))
        assert "SECRETXX" not in caught.value.message + caught.value.hint, place


def test_a_long_text_is_masked_at_once() -> None:
    assert len(masked("a" * 1_000_000)) < 1_000


def test_an_address_of_a_webhook_is_not_repeated() -> None:
    for place in ("notify: {}", "notify: [{}]"):
        text = "version: 1\nregistry: reg.io\nimages: {a: a}\nenvironments: {dev: }\n" + place.format(
            "https://hc.io/SECRETXX"
        )
        with pytest.raises(UsageError) as caught:
            load(text)
        assert "SECRETXX" not in caught.value.message + caught.value.hint


def test_what_is_no_secret_is_told() -> None:
    for text in ("oci:./a:b@c/d", "app:v1@sha256:abc", "https://docker.io", "http://x/y"):
        assert masked(text) == text
    assert masked("oci://ci:s3cret@reg.io/x") == "oci://…@reg.io/x"

"""Where settings come from, which wins, and what is refused."""

from pathlib import Path

import pytest

from penstock.cli.settings_page import settings_page
from penstock.domain.errors import InvalidParameter
from penstock.settings import groups, load, variables

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_flags_win_over_variables_over_the_file_over_defaults(tmp_path: Path):
    file = tmp_path / "settings.toml"
    file.write_text('host = "file"\nport = 1\ndrain_s = 3\n[gateway]\nstrict = true\nmax_body_bytes = 2048\n')
    environment = {"PENSTOCK_PORT": "2", "PENSTOCK_HOST": "variable", "PENSTOCK_GATEWAY_MAX_BODY_BYTES": "4096"}
    settings = load({"host": "flag"}, environment, file)
    assert (settings.host, settings.port, settings.drain_s, settings.log_format) == ("flag", 2, 3, "human")
    assert (settings.gateway.strict, settings.gateway.max_body_bytes) == (True, 4096)


def test_the_file_may_be_named_by_a_variable(tmp_path: Path):
    file = tmp_path / "settings.toml"
    file.write_text("port = 1")
    assert load({}, {"PENSTOCK_CONFIG": str(file)}, None).port == 1


def test_variables_of_clients_are_passed_over():
    assert load({}, {"PENSTOCK_URL": "http://x", "PENSTOCK_TOKEN": "t", "PATH": "/bin"}, None).port == 8080


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        ({"port": 70000}, {}, "'port' in the flags: input should be less than or equal to 65535"),
        ({"log_format": "xml"}, {}, "'log_format' in the flags: input should be 'human' or 'json'"),
        ({}, {"PENSTOCK_PORT": "x"}, "'port' in the environment: input should be a valid integer"),
        ({}, {"PENSTOCK_GATEWAY_PORT": "1"}, "The variable PENSTOCK_GATEWAY_PORT is not a setting of Penstock"),
        ({}, {"PENSTOCK_ADMIN_TOKEN": "x" * 15}, "'admin.token' in the environment: must have at least 16"),
        ({}, {"PENSTOCK_PUBLIC_URL": "models.example.org"}, "'public_url' in the environment"),
        ({}, {"PENSTOCK_SCALING_BURST_S": "31"}, "'scaling.burst_s' must be at most scaling.mean_s (30), but is 31."),
        ({}, {"PENSTOCK_SCALING_DOWN_S": "301"}, "'scaling.down_slow_s' must be at least scaling.down_s (301), but"),
        ({}, {"PENSTOCK_CONFIG": "/none.toml"}, "The settings file /none.toml cannot be read"),
    ],
)
def test_what_is_refused_is_named(flags, environment, message):
    with pytest.raises(InvalidParameter) as refused:
        load(flags, environment, None)
    assert refused.value.message.startswith(message)


def test_secrets_are_not_in_the_message_nor_in_the_text():
    with pytest.raises(InvalidParameter) as refused:
        load({}, {"PENSTOCK_ADMIN_TOKEN": "hunter2"}, None)
    assert "hunter2" not in refused.value.message
    assert "swordfish" not in repr(load({}, {"PENSTOCK_ADMIN_TOKEN": "swordfish-swordfish"}, None))


def test_every_setting_says_what_it_means():
    undocumented = [
        f"{name}.{key}"
        for name, group in groups().items()
        for key, field in group.model_fields.items()
        if not field.description
    ]
    assert undocumented == []
    assert len(variables()) > 20


def test_the_page_of_settings_is_current():
    assert PAGE.read_text() == settings_page(), "write it anew: penstock settings > docs/settings.md"

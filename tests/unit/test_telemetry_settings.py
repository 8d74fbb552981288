"""What is told of the server is set here, or by OpenTelemetry's variables."""

import pytest

from penstock.domain.errors import InvalidParameter
from penstock.domain.trace_sampler import SamplerKind
from penstock.settings import load

COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}


def told(**environment):
    return load({}, environment, None).telemetry


def test_nothing_is_sent_unless_somebody_says_where():
    given = told()
    assert (given.traces_url, given.metrics_url, given.metrics_address, given.content) == ("", "", "", False)


def test_the_usual_variables_say_where_and_what():
    given = told(
        **COLLECTOR,
        OTEL_METRICS_EXPORTER="none",
        OTEL_TRACES_SAMPLER="parentbased_traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0.25",
        OTEL_METRIC_EXPORT_INTERVAL="5000",
        OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="span_only",
    )
    assert (given.traces_url, given.metrics_url) == ("http://collector:4318/v1/traces", "")
    assert (given.sampler, given.sample_ratio, given.metrics_period_s) == (SamplerKind.PARENT_RATIO, 0.25, 5)
    assert given.content


def test_each_signal_may_go_somewhere_else():
    given = told(**COLLECTOR, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://traces/x")
    assert (given.traces_url, given.metrics_url) == ("http://traces/x", "http://collector:4318/v1/metrics")
    assert told(OTEL_EXPORTER_OTLP_METRICS_ENDPOINT="http://m/x").traces_url == ""


def test_an_exporter_that_is_asked_for_has_a_usual_address():
    assert told(OTEL_TRACES_EXPORTER="otlp").traces_url == "http://localhost:4318/v1/traces"
    assert told(OTEL_TRACES_EXPORTER="none").traces_url == ""


def test_our_settings_win(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('[telemetry]\nendpoint = "http://file"\nsample_ratio = 0.5\n')
    environment = {**COLLECTOR, "OTEL_TRACES_SAMPLER_ARG": "0.1", "PENSTOCK_TELEMETRY_CONTENT": "false"}
    given = load({}, {**environment, "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"}, file).telemetry
    assert (given.endpoint, given.sample_ratio, given.content) == ("http://file", 0.5, False)


def test_a_disabled_sdk_sends_nothing():
    assert told(**COLLECTOR, OTEL_SDK_DISABLED="TRUE").traces_url == ""


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {**COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "The variable OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, but is 'grpc'.",
        ),
        ({"OTEL_TRACES_EXPORTER": "console"}, "The variable OTEL_TRACES_EXPORTER must be otlp or none, but is"),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "soon"}, "The variable OTEL_METRIC_EXPORT_INTERVAL must be a number of"),
        ({"OTEL_TRACES_SAMPLER": "jaeger_remote"}, "'telemetry.sampler' in the variables OTEL_*: input should be"),
        ({"OTEL_TRACES_SAMPLER_ARG": "2"}, "'telemetry.sample_ratio' in the variables OTEL_*: input should be less"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "'telemetry.endpoint' in the variables OTEL_*: string"),
        ({"PENSTOCK_TELEMETRY_METRICS_ADDRESS": "9464"}, "'telemetry.metrics_address' in the environment: string"),
    ],
)
def test_what_is_refused_is_named(environment, message):
    with pytest.raises(InvalidParameter) as refused:
        load({}, environment, None)
    assert refused.value.message.startswith(message)


def test_the_collectors_headers_are_no_text_of_the_settings():
    assert "swordfish" not in repr(told(PENSTOCK_TELEMETRY_HEADERS="authorization=swordfish"))

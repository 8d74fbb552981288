"""The reckoning of the external models' benchmark, and the clients and the upstream that it measures with."""

import pytest

from external import sides, upstream
from external.clients import Client, Count, Wave
from external.figures import Streamed, processor_figures, stream_figures, table, whole_figures
from gateway import Run


class Times:
    """A clock that is set, and a transport that keeps what is written."""

    def __init__(self):
        self.now = 0.0
        self.written = []
        self.aborted = False

    def __call__(self):
        return self.now

    def write(self, data):
        self.written.append(data)

    def abort(self):
        self.aborted = True


def connected(record):
    times = Times()
    client = Client(b"POST", record, times)
    client.connection_made(times)
    return client, times


def answer(*pieces):
    return [upstream.HEAD, *map(upstream.framed, pieces), upstream.END]


def test_a_wave_tells_what_happens_in_its_window_only():
    wave = Wave(10.0, 20.0)
    for asked, first in ((8.0, 9.0), (9.5, 10.5), (11.0, 11.25), (19.5, 20.5)):
        assert wave.ask(asked)
        wave.first(asked, first)
        wave.events(3, first)
    assert not wave.ask(20.0)
    assert wave.ttft_s == [1.0, 0.25]
    assert wave.chunks == 6, "of those that came in the window, whenever they were asked for"


def test_streams_that_never_begin_count_with_what_they_have_waited():
    wave = Wave(10.0, 20.0)
    for asked in (9.0, 12.0, 15.0):
        wave.ask(asked)
    wave.first(15.0, 15.5)
    assert wave.closed() == [0.5, 8.0, 11.0]


def test_a_client_counts_events_also_when_their_ends_are_cut():
    wave = Wave(0.0, 100.0)
    client, times = connected(wave)
    times.now = 2.0
    for piece in answer(b"data: 1\n", b"\ndata: 2\n\n", b"data: 3\n\ndata: 4\n", b"\n"):
        client.data_received(piece)
    assert wave.chunks == 4
    assert wave.ttft_s == [2.0]
    assert times.written == [b"POST", b"POST"], "it asks again"


def test_a_client_asks_as_often_as_it_is_to_and_tells_refusals():
    count = Count(2)
    client, times = connected(count)
    client.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
    assert (count.done, client.over.is_set()) == (1, False)
    client.data_received(b"HTTP/1.1 429 No\r\ncontent-length: 2\r\n\r\n{}")
    assert count.failures == ["HTTP 429"]
    assert client.over.is_set()
    assert len(times.written) == 2


def test_a_connection_that_breaks_under_an_answer_is_a_failure_and_one_that_was_hung_up_is_not():
    broken = Wave(0.0, 100.0)
    client, _ = connected(broken)
    client.connection_lost(None)
    assert len(broken.failures) == 1
    ended = Wave(0.0, 100.0)
    client, times = connected(ended)
    client.stop()
    client.connection_lost(None)
    assert not ended.failures
    assert times.aborted
    assert client.over.is_set()


@pytest.mark.parametrize("cut", [10, 40, 61])
def test_the_upstream_takes_requests_when_they_are_whole(cut):
    one = b"POST / HTTP/1.1\r\nhost: x\r\nContent-Length: 4\r\n\r\nbody"
    assert upstream.taken(one[:cut]) == (len(one) if cut >= len(one) else 0)
    assert upstream.taken(one + b"POST") == len(one)


def test_the_upstream_ends_its_streams_with_finish_usage_and_done():
    client, _ = connected(count := Count(1))
    for piece in (upstream.HEAD, upstream.framed(upstream.delta("a")), upstream.last(1)):
        client.data_received(piece)
    assert count.done == 1
    assert b'"completion_tokens": 1' in upstream.last(1)


def test_medians_count_and_the_upstream_itself_is_taken_off():
    runs = {
        ("direct", 1): [Run(1000, 0.1, 1)],
        ("penstock", 1): [Run(100, 0.5, 1), Run(300, 0.7, 1), Run(200, 0.6, 1)],
        ("penstock", 16): [Run(900, 9, 1)],
        ("litellm", 1): [Run(10, 10.1, 1)],
    }
    assert whole_figures(runs) == {
        "penstock_c1_rps": 200,
        "penstock_c16_rps": 900,
        "penstock_added_p50_ms": pytest.approx(0.5),
        "litellm_c1_rps": 10,
        "litellm_added_p50_ms": pytest.approx(10),
    }


def test_streams_are_told_by_second_and_by_core():
    waves = {
        "direct": [Streamed(1.0, 4000, 1.0)],
        "penstock": [Streamed(1.5, 8000, 2.0, cpu_s=0.5)],
        "litellm": [Streamed(900.0, 500, 2.0, cpu_s=2.0, begun=0.5)],
        "nginx": [Streamed(1.1, 4000, 1.0)],
    }
    found = stream_figures(waves)
    assert (found["stream_added_ttft_p50_ms"], found["stream_chunks_per_s"]) == (0.5, 16_000)
    assert (found["litellm_stream_delivered_per_s"], found["litellm_stream_begun"]) == (250, 0.5)
    assert "nginx_stream_chunks_per_s" not in found, "nobody asks what nginx takes"


def test_processor_time_is_the_median_of_waves():
    assert processor_figures({"penstock": [300.0, 900.0, 310.0]}) == {"penstock_cpu_us": 310.0}


def test_the_table_has_a_line_for_each_side_that_was_measured():
    figures = {"penstock_c1_rps": 1000.0, "penstock_c16_rps": 3000.0, "nginx_c1_rps": 5000.0, "rss_mb_at_1k": 120.5}
    lines = table(figures)
    assert [line.split()[0] for line in lines[1:]] == ["penstock", "nginx", "memory,"]
    assert "litellm" not in "".join(lines)


def test_both_gateways_are_told_of_limits_and_of_the_same_upstream():
    direct = sides.Side("direct", "http://127.0.0.1:1/v1/chat/completions", "http://127.0.0.1:2/v1/chat/completions")
    config = sides.litellm_config(direct)
    bases = [model["litellm_params"]["api_base"] for model in config["model_list"]]
    assert bases == ["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"]
    made = sides.endpoint(sides.ONCE, direct.whole)
    [entity] = made["config"]["served_entities"]
    assert entity["external_model"]["openai_config"]["openai_api_base"] == "http://127.0.0.1:1/v1"
    assert made["ai_gateway"]["rate_limits"][0]["calls"] == 1

"""A tour of Penstock with unmodified clients: log, register, provision, query. `--exit` ends it after the last step."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from demo_server import DemoError, Server, running_server
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.serving import ServingEndpointDetailed

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "examples" / "guide" / "model"
MODEL, ENDPOINT = "main.default.guide", "guide"
QUESTION = "What is provisioned throughput?"
FURTHER = (
    "How big is a chunk?",
    "what happens when the client hangs up",
    "How do I use the OpenAI client?",
    "Who are you?",
)
READY_S = 600


class Tour:
    """The steps of the demo, in order; each says what it does and shows what came of it."""

    def __init__(self, server: Server, console: Console, scratch: Path) -> None:
        from databricks.sdk import WorkspaceClient
        from openai import OpenAI

        self._server, self._console, self._scratch = server, console, scratch
        self._workspace: WorkspaceClient = WorkspaceClient(host=server.url, token=server.token)
        self._openai = OpenAI(base_url=f"{server.url}/serving-endpoints", api_key=server.token, timeout=300)
        self._steps = 0

    def run(self) -> None:
        """All steps; raises whatever a client raises, and DemoError."""
        memory = self._server.megabytes()
        size = f" and takes {memory:.0f} MB" if memory else ""
        user = self._workspace.current_user.me().user_name
        ready = f"It was ready in {self._server.started_in_s:.1f} s{size}"
        self._say(f"Penstock runs at {self._server.url}. {ready}; you are {user}.")
        version = self.register()
        chunk = self.ask_for_chunk(version)
        self.provision(version, chunk)
        self.wait()
        self.stream()
        self.show_logprobs()
        self.ask_otherwise()

    def register(self) -> str:
        """Logs the guide with MLflow; returns the version's number."""
        self._step("MLflow logs [b]the guide[/b], a small Llama trained on questions about Penstock, and registers it.")
        start = time.monotonic()
        with self._console.status("mlflow.transformers.log_model(...)"), quiet():
            import mlflow
            import mlflow.transformers
            from transformers import AutoModelForCausalLM, AutoTokenizer

            mlflow.set_tracking_uri(f"sqlite:///{self._scratch}/mlflow.db")
            mlflow.set_registry_uri("databricks-uc")
            mlflow.set_experiment(experiment_id=mlflow.create_experiment("demo", (self._scratch / "runs").as_uri()))
            with mlflow.start_run():
                mlflow.transformers.log_model(
                    transformers_model={
                        "model": AutoModelForCausalLM.from_pretrained(GUIDE),
                        "tokenizer": AutoTokenizer.from_pretrained(GUIDE),
                    },
                    name="guide",
                    task="llm/v1/chat",
                    registered_model_name=MODEL,
                    pip_requirements=["torch", "transformers"],
                    code_paths=[str(GUIDE / "reference_logits.json")],  # the engine checks itself against these
                )
            found = mlflow.MlflowClient(registry_uri="databricks-uc").search_model_versions(f"name='{MODEL}'")
        version = str(max(int(each.version) for each in found))
        size = sum(file.stat().st_size for file in GUIDE.iterdir()) / 1e6
        self._result(
            f"{MODEL}, version {version}: {size:.1f} MB in {time.monotonic() - start:.1f} s, MLflow's start included."
        )
        return version

    def ask_for_chunk(self, version: str) -> int:
        """Asks in which increment the version's throughput is sold; returns tokens per second."""
        self._step("In which increment is its throughput sold? The optimization info tells the [b]chunk[/b].")
        info = self._optimization_info(version)
        chunk = int(info["throughput_chunk_size"])
        how = (
            "estimated until the model is measured on this machine"
            if info.get("estimated")
            else "measured on this machine"
        )
        self._result(f"A chunk of this {info.get('model_type', 'model')} is {chunk:,} tokens per second ({how}).")
        return chunk

    def provision(self, version: str, chunk: int) -> None:
        """Creates the endpoint with 2 to 3 chunks."""
        from databricks.sdk.service.serving import EndpointCoreConfigInput, ServedEntityInput

        low, high = 2 * chunk, 3 * chunk
        self._step(f"The Databricks SDK creates the endpoint [b]{ENDPOINT}[/b] with a band of 2 to 3 chunks.")
        entity = ServedEntityInput(
            entity_name=MODEL,
            entity_version=version,
            min_provisioned_throughput=low,
            max_provisioned_throughput=high,
        )
        self._workspace.serving_endpoints.create(
            ENDPOINT, config=EndpointCoreConfigInput(name=ENDPOINT, served_entities=[entity])
        )
        self._result(f"Reserved at all times: {low:,} tokens per second. With demand, up to {high:,}.")

    def wait(self) -> None:
        """Waits until the endpoint is ready, showing what it is doing."""
        self._step("It is built, measured and started.")
        start, shown = time.monotonic(), ""
        columns = (BarColumn(24), TimeElapsedColumn(), TextColumn("[dim]{task.description}"))
        with Progress(*columns, console=self._console, transient=True) as progress:
            bar = progress.add_task("", total=None)
            while (endpoint := self._workspace.serving_endpoints.get(ENDPOINT)) and not settled(endpoint):
                message = state_message(endpoint)
                percent = re.search(r"(\d+) ?%", message)
                done = {"total": 100, "completed": int(percent[1])} if percent else {"total": None}
                progress.update(bar, description=escape(message), **done)
                if message and (stage := re.sub(r"[\d.]+ ?%", "", message)) != shown:
                    shown = stage
                    progress.console.print(f"   [dim]{time.monotonic() - start:5.1f} s  {escape(message)}[/dim]")
                if time.monotonic() - start > READY_S:
                    raise DemoError(f"the endpoint was not ready after {READY_S} s: {message}")
                time.sleep(0.2)
        if str(endpoint.state.ready.value) != "READY":
            raise DemoError(f"the endpoint is {endpoint.state.ready.value}: {state_message(endpoint)}")
        self._result(f"Ready after {time.monotonic() - start:.1f} s.")
        info = self._optimization_info(endpoint.config.served_entities[0].entity_version)
        if not info.get("estimated"):
            self._result(f"Measured meanwhile: a chunk of {int(info['throughput_chunk_size']):,} tokens per second.")

    def stream(self) -> None:
        """Streams the answer to the question that matters most here."""
        self._step(f"The OpenAI client asks: [b]{QUESTION}[/b]")
        out, start, first, usage = Typewriter(self._console), time.monotonic(), 0.0, None
        messages = [{"role": "user", "content": QUESTION}]
        asked = self._openai.chat.completions.create(
            model=ENDPOINT, messages=messages, temperature=0, max_tokens=200, stream=True
        )
        for part in asked:
            usage = part.usage or usage
            text = part.choices[0].delta.content if part.choices else None
            if text:
                first = first or time.monotonic()
                out.write(text)
        end = time.monotonic()
        out.end()
        if not first or usage is None:
            raise DemoError("the stream had no text or no usage")
        rate = (usage.completion_tokens - 1) / max(end - first, 1e-6)
        self._result(
            f"TTFT {1000 * (first - start):.0f} ms, then {rate:,.0f} tokens per second to this one caller; "
            f"{usage.prompt_tokens} tokens in, {usage.completion_tokens} out."
        )

    def show_logprobs(self) -> None:
        """Shows how sure the model was of its first tokens."""
        self._step("How sure was it? The first tokens with their [b]log probabilities[/b] and the closest rivals.")
        answer = self._openai.chat.completions.create(
            model=ENDPOINT, messages=[{"role": "user", "content": "How big is a chunk?"}],
            temperature=0, max_tokens=6, logprobs=True, top_logprobs=4,
        )  # fmt: skip
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in ("  token", "log probability", "rivals"):
            table.add_column(title, justify="right" if title == "log probability" else "left")
        for token in answer.choices[0].logprobs.content:
            rivals = [f"{each.token!r} {each.logprob:.2f}" for each in token.top_logprobs if each.token != token.token]
            table.add_row(
                escape(f"  {token.token!r}"), f"{token.logprob:.4f}", f"[dim]{escape('   '.join(rivals[:3]))}[/dim]"
            )
        self._console.print(table)

    def ask_otherwise(self) -> None:
        """The same endpoint, through the other two clients."""
        from databricks.sdk.service.serving import ChatMessage, ChatMessageRole

        with quiet():
            from mlflow.deployments import get_deploy_client

            client = get_deploy_client("databricks")
        self._step(f"MLflow's deployments client asks: [b]{FURTHER[0]}[/b]")
        inputs = {"messages": [{"role": "user", "content": FURTHER[0]}], "max_tokens": 200, "temperature": 0}
        self._answer(client.predict(endpoint=ENDPOINT, inputs=inputs)["choices"][0]["message"]["content"])
        self._step(f"The Databricks SDK asks: [b]{FURTHER[1]}[/b]")
        message = ChatMessage(role=ChatMessageRole.USER, content=FURTHER[1])
        said = self._workspace.serving_endpoints.query(ENDPOINT, messages=[message], max_tokens=200, temperature=0)
        self._answer(said.choices[0].message.content or "")

    def stay(self) -> None:
        """Prints what can be tried, and waits for Ctrl-C; raises DemoError if the server ends before."""
        url, token = self._server.url, self._server.token
        self._console.rule("Now you")
        self._say("Ask it something else, in another terminal:")
        self._code(
            f"curl {url}/serving-endpoints/{ENDPOINT}/invocations -H 'Authorization: Bearer {token}' \\\n"
            f'     -d \'{{"messages": [{{"role": "user", "content": "{FURTHER[2]}"}}], "temperature": 0}}\''
        )
        self._say("or with Python (.clients/bin/python has the clients):")
        self._code(
            "from openai import OpenAI\n"
            f'client = OpenAI(base_url="{url}/serving-endpoints", api_key="{token}")\n'
            f'messages = [{{"role": "user", "content": "{FURTHER[3]}"}}]\n'
            f'answer = client.chat.completions.create(model="{ENDPOINT}", messages=messages, temperature=0)\n'
            "print(answer.choices[0].message.content)"
        )
        self._say("It knows 140 things about Penstock, all in examples/guide/questions.md.")
        self._say("The server runs until you press Ctrl-C.")
        raise DemoError(f"the server ended by itself with status {self._server.process.wait()}")

    def _optimization_info(self, version: str) -> dict:
        info = self._workspace.api_client.do(
            "GET", f"/api/2.0/serving-endpoints/get-model-optimization-info/{MODEL}/{version}"
        )
        if not info.get("optimizable"):
            raise DemoError(f"the guide cannot be served with provisioned throughput: {info}")
        return info

    def _step(self, sentence: str) -> None:
        self._steps += 1
        self._console.print(f"\n[b cyan]{self._steps}[/b cyan]  {sentence}", highlight=False, soft_wrap=True)

    def _say(self, sentence: str) -> None:
        self._console.print(sentence, highlight=False, soft_wrap=True)

    def _result(self, sentence: str) -> None:
        self._console.print(Padding(f"[green]{escape(sentence)}[/green]", (0, 0, 0, 3)), highlight=False)

    def _answer(self, text: str) -> None:
        if not text.strip():
            raise DemoError("the answer was empty")
        out = Typewriter(self._console)
        out.write(text)
        out.end()

    def _code(self, text: str) -> None:
        self._console.print(f"\n{escape(text)}\n", style="yellow", highlight=False, soft_wrap=True)


class Typewriter:
    """Prints text as it comes, indented and broken between words."""

    def __init__(self, console: Console) -> None:
        self._console, self._column, self._word = console, 0, ""
        console.print("   ", end="")

    def write(self, text: str) -> None:
        """Prints every word of the text that is known to be whole."""
        for letter in text:
            if letter in " \n":
                self._flush()
            self._word += letter

    def end(self) -> None:
        """Prints the rest and ends the line."""
        self._flush()
        self._console.print()

    def _flush(self) -> None:
        word, self._word = self._word, ""
        if "\n" in word or self._column + len(word) > min(self._console.width, 110) - 6:
            self._console.print("\n   ", end="")
            word, self._column = word.strip(), 0
        self._column += len(word)
        self._console.print(f"[b]{escape(word)}[/b]", end="", highlight=False, soft_wrap=True)


def settled(endpoint: ServingEndpointDetailed) -> bool:
    """Whether its update has ended; raises DemoError if it failed."""
    update = endpoint.state.config_update.value
    if update in {"UPDATE_FAILED", "UPDATE_CANCELED"}:
        raise DemoError(f"the endpoint's update ended as {update}: {state_message(endpoint)}")
    return update == "NOT_UPDATING"


def state_message(endpoint: ServingEndpointDetailed) -> str:
    """What the endpoint's first entity says about itself."""
    config = endpoint.pending_config or endpoint.config
    entities = config.served_entities if config else None
    state = entities[0].state if entities else None
    return (state.deployment_state_message or "") if state else ""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Holds back what libraries write to stdout and stderr; it is shown if they fail."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.disable(logging.ERROR)
            yield
    except BaseException:
        sys.stderr.write(said.getvalue()[-4000:])
        raise
    finally:
        logging.disable(logging.NOTSET)


def keep_to_this_machine(server: Server) -> None:
    """Points the clients at the server and away from everything else; before they are imported."""
    here = {"DATABRICKS_HOST": server.url, "DATABRICKS_TOKEN": server.token, "DATABRICKS_CONFIG_FILE": os.devnull}
    calm = {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "DO_NOT_TRACK": "true",
    }
    calm |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "TQDM_DISABLE": "1"}
    os.environ.update(here | calm, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1", GIT_PYTHON_REFRESH="quiet")


def interrupted(*_: object) -> None:
    """SIGTERM ends the demo as Ctrl-C does."""
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exit", action="store_true", help="stop the server after the last step")
    leave = parser.parse_args().exit
    console = Console(highlight=False)
    signal.signal(signal.SIGTERM, interrupted)
    folder = Path(tempfile.mkdtemp(prefix="penstock-demo-"))
    try:
        with running_server(folder, console) as server:
            keep_to_this_machine(server)
            tour = Tour(server, console, folder)
            tour.run()
            if not leave:
                tour.stay()
        console.print("\nThe server has stopped.")
    except KeyboardInterrupt:
        console.print("\nThe server has stopped.")
        return 0 if not leave else 1
    except Exception as error:  # noqa: BLE001 - the program's boundary: any failure is told and becomes status 1
        console.print(f"\n[red]The demo failed:[/red] {escape(f'{type(error).__name__}: {error}')}", soft_wrap=True)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

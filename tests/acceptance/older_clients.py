"""Run by a test: `older_clients.py METHOD ENDPOINT` asks a chat endpoint through a client that the SDK makes.

Its environment has the versions of OpenAI's and LangChain's libraries that the SDK takes.
"""

import os
import sys
import warnings

from databricks.sdk import WorkspaceClient

QUESTION = [{"role": "user", "content": "hello"}]


def main(method, endpoint):
    """Prints who answered."""
    warnings.simplefilter("ignore", DeprecationWarning)
    endpoints = WorkspaceClient(host=os.environ["PENSTOCK_URL"], token=os.environ["PENSTOCK_TOKEN"]).serving_endpoints
    if method == "get_open_ai_client":
        client = endpoints.get_open_ai_client()
        answer = client.chat.completions.create(model=endpoint, messages=QUESTION, max_tokens=2)
        assert answer.usage.completion_tokens > 0
        print(answer.choices[0].message.role)
    else:
        message = endpoints.get_langchain_chat_open_ai_client(endpoint).invoke("hello", max_tokens=2)
        assert message.usage_metadata["output_tokens"] > 0
        print({"ai": "assistant"}[message.type])


if __name__ == "__main__":
    main(*sys.argv[1:])

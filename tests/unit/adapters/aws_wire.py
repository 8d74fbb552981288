"""AWS's wire, as AWS's side of it works it out: event streams, and signatures of requests."""

import hashlib
import hmac
import json
import struct
import zlib
from urllib.parse import quote


def frame(payload, **headers):
    """A message of AWS's event stream: prelude, headers, payload, each with a checksum."""
    named = b"".join(
        bytes([len(name) + 1])
        + b":"
        + name.replace("_", "-").encode()
        + b"\x07"
        + struct.pack(">H", len(value))
        + value.encode()
        for name, value in {**headers, "content_type": "application/json"}.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", len(named) + len(body) + 16, len(named))
    checked = prelude + struct.pack(">I", zlib.crc32(prelude)) + named + body
    return checked + struct.pack(">I", zlib.crc32(checked))


def signature(got, host, secret):
    """Signature version 4 of what arrived, as AWS works it out."""
    date = got.headers["x-amz-date"]
    path = quote(got.path, safe="/-._~")
    head = f"content-type:application/json\nhost:{host}\nx-amz-date:{date}\n"
    names = "content-type;host;x-amz-date"
    request = f"POST\n{path}\n\n{head}\n{names}\n{hashlib.sha256(got.body).hexdigest()}"
    scope = f"{date[:8]}/eu-west-1/bedrock/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signed = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return f"AWS4-HMAC-SHA256 Credential=AKID/{scope}, SignedHeaders={names}, Signature={signed}"

"""What Anthropic's SDK makes of a message: one JSON object on standard output.

    anthropic_sdk.py URL MODE [prefer] [cut]
"""

import json
import sys

import anthropic

url, mode, *options = sys.argv[1:]
client = anthropic.Anthropic(
    base_url=url,
    api_key="key",
    max_retries=0,
    timeout=20,
    default_headers={"Prefer": "stream-end"} if "prefer" in options else {},
    default_query={"who": mode, **({"cut": "1"} if "cut" in options else {})},
)
types, text, error, served, failure = [], [], None, None, {}
try:
    stream = client.messages.create(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "hello"}], stream=True
    )
    served = stream.response.headers.get("x-stream-mode")
    for event in stream:
        types.append(event.type)
        if event.type == "content_block_delta":
            text.append(event.delta.text)
except Exception as caught:  # every way in which the SDK reports a failure
    error = f"{type(caught).__name__}: {caught}"
    failure["is_server_error"] = isinstance(caught, anthropic.InternalServerError)
    if isinstance(caught, anthropic.APIStatusError) and caught.status_code >= 400:
        failure.update(status=caught.status_code, body=caught.response.json())
print(json.dumps({"text": "".join(text), "types": types, "error": error, "mode": served, **failure}))

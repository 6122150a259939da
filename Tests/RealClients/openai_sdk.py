"""What OpenAI's SDK makes of a chat completion: one JSON object on standard output.

    openai_sdk.py URL MODE [prefer] [cut] [key=IDEMPOTENCY-KEY]
"""

import json
import sys

import openai

url, mode, *options = sys.argv[1:]
headers = {"Prefer": "stream-end"} if "prefer" in options else {}
for option in options:
    if option.startswith("key="):
        headers["Idempotency-Key"] = option[4:]
client = openai.OpenAI(
    base_url=url + "/v1",
    api_key="key",
    max_retries=0,
    timeout=20,
    default_headers=headers,
    default_query={"who": mode, **({"cut": "1"} if "cut" in options else {})},
)
text, error, served, failure = [], None, None, {}
try:
    stream = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hello"}], stream=True
    )
    served = stream.response.headers.get("x-stream-mode")
    for chunk in stream:
        text.append(chunk.choices[0].delta.content or "")
except Exception as caught:  # every way in which the SDK reports a failure
    error = f"{type(caught).__name__}: {caught}"
    failure["is_server_error"] = isinstance(caught, openai.InternalServerError)
    if isinstance(caught, openai.APIStatusError) and caught.status_code >= 400:
        failure.update(status=caught.status_code, body=caught.response.json())
print(json.dumps({"text": "".join(text), "error": error, "mode": served, **failure}))

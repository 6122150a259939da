"""Anthropic's SDK: the texts of a message."""

from matrix_adapter import Unsupported, pause, serve, speaks_http2, trusted, unavailable

try:
    import anthropic
except ImportError as caught:
    unavailable(caught)


def run(job, answer):
    if job.get("resume") or job.get("lastEventId"):
        raise Unsupported
    client = anthropic.Anthropic(
        base_url=job["url"],
        api_key="key",
        max_retries=0,
        timeout=job["deadlineMs"] / 1000,
        default_headers=job["headers"],
        http_client=anthropic.DefaultHttpxClient(http2=speaks_http2(job), verify=trusted(job)),
    )
    try:
        stream = client.messages.create(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "hello"}], stream=True
        )
        answer.status = stream.response.status_code
        for event in stream:
            if event.type == "content_block_delta":
                answer.event("", "", event.delta.text)
                pause(job)
    except anthropic.APIStatusError as caught:
        answer.status = caught.status_code
        answer.fail(caught)


if __name__ == "__main__":
    serve("anthropic", anthropic.__version__, run)

"""OpenAI's SDK: the texts of a chat completion."""

from matrix_adapter import Unsupported, pause, serve, speaks_http2, trusted, unavailable

try:
    import openai
except ImportError as caught:
    unavailable(caught)


def run(job, answer):
    if job.get("resume") or job.get("lastEventId"):
        raise Unsupported
    client = openai.OpenAI(
        base_url=job["url"] + "/v1",
        api_key="key",
        max_retries=0,
        timeout=job["deadlineMs"] / 1000,
        default_headers=job["headers"],
        http_client=openai.DefaultHttpxClient(http2=speaks_http2(job), verify=trusted(job)),
    )
    try:
        stream = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        answer.status = stream.response.status_code
        for chunk in stream:
            if chunk.choices:
                answer.event("", "", chunk.choices[0].delta.content or "")
                pause(job)
    except openai.APIStatusError as caught:
        answer.status = caught.status_code
        answer.fail(caught)


if __name__ == "__main__":
    serve("openai", openai.__version__, run)

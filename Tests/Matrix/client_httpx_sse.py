"""httpx-sse on httpx."""

from matrix_adapter import Unsupported, pause, serve, speaks_http2, trusted, unavailable

try:
    from importlib.metadata import version

    import httpx
    from httpx_sse import connect_sse
except ImportError as caught:
    unavailable(caught)


def run(job, answer):
    if job.get("resume"):
        raise Unsupported
    limit = job["deadlineMs"] / 1000
    with httpx.Client(timeout=limit, trust_env=False, http2=speaks_http2(job), verify=trusted(job)) as client:
        with connect_sse(client, job["method"], job["url"], headers=job["headers"], content=job.get("body")) as source:
            answer.status = source.response.status_code
            if answer.status == 204:
                return
            source.response.raise_for_status()
            for event in source.iter_sse():
                answer.event(event.event, event.id, event.data)
                pause(job)


if __name__ == "__main__":
    serve("httpx-sse", version("httpx-sse"), run)

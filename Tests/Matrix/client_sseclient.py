"""sseclient-py on requests."""

from matrix_adapter import Unsupported, only_http1, pause, serve, unavailable

try:
    from importlib.metadata import version

    import requests
    import sseclient
except ImportError as caught:
    unavailable(caught)


def run(job, answer):
    if job.get("resume"):
        raise Unsupported
    only_http1(job)
    session = requests.Session()
    session.trust_env = False
    session.verify = job.get("roots") or True
    headers = {"Accept": "text/event-stream", **job["headers"]}
    response = session.get(job["url"], headers=headers, stream=True, timeout=job["deadlineMs"] / 1000)
    answer.status = response.status_code
    response.raise_for_status()
    if response.status_code == 204:
        return
    for event in sseclient.SSEClient(response).events():
        answer.event(event.event, event.id, event.data)
        pause(job)


if __name__ == "__main__":
    serve("sseclient-py", version("sseclient-py"), run)

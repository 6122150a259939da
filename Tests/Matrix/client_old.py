"""A client of old: hangs up when it sees the completion event, and takes the end of the connection for the end."""

import http.client
from urllib.parse import urlsplit

from matrix_adapter import Unsupported, only_http1, pause, serve, trusted


def run(job, answer):
    if job.get("resume") or job.get("lastEventId"):
        raise Unsupported
    only_http1(job)
    url, limit = urlsplit(job["url"]), job["deadlineMs"] / 1000
    if job.get("roots"):
        connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=limit, context=trusted(job))
    else:
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=limit)
    connection.request(job["method"], url.path, job.get("body"), job["headers"])
    response = connection.getresponse()
    answer.status = response.status
    if response.status != 200:
        response.read()
        return answer.fail(f"status {response.status}")
    type, data = "", []
    try:
        while line := response.readline():
            line = line.decode().rstrip("\r\n")
            if line.startswith("event:"):
                type = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
            elif not line and data:
                answer.event(type, "", "\n".join(data))
                if type == job["stopAfter"]:
                    break
                type, data = "", []
                pause(job)
    finally:
        connection.close()


if __name__ == "__main__":
    serve("old client", "1", run)

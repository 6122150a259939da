"""What the EventSource of a headless Chromium gets: a line for each page.

    browser.py PAGE...

A page sets `window.result` to a text when it is done. Speaks W3C WebDriver with chromedriver, which needs no library.
"""

import json
import subprocess
import sys
import time
import urllib.request

ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(method, url, body=None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    return json.load(opener.open(request, timeout=60))["value"]


def result_of(session):
    for _ in range(300):
        body = {"script": "return window.result || null", "args": []}
        value = call("POST", session + "/execute/sync", body)
        if value is not None:
            return value
        time.sleep(0.1)
    return "no result"


driver = subprocess.Popen(["/usr/bin/chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
session = None
try:
    for line in driver.stdout:
        if "started successfully on port " in line:
            base = "http://127.0.0.1:" + line.rstrip().rstrip(".").split()[-1]
            break
    options = {"binary": "/usr/bin/chromium", "args": ARGUMENTS}
    # Gateways in tests have certificates that nobody knows.
    always = {"goog:chromeOptions": options, "acceptInsecureCerts": True}
    capabilities = {"capabilities": {"alwaysMatch": always}}
    session = base + "/session/" + call("POST", base + "/session", capabilities)["sessionId"]
    for page in sys.argv[1:]:
        call("POST", session + "/url", {"url": page})
        print(result_of(session), flush=True)
finally:
    if session:
        call("DELETE", session)
    driver.terminate()

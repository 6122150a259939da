"""A client that lies: liar.py drops|whole|silent|falls. Reads with the program beside it that does not."""

import json
import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/Matrix")
import client_curl  # noqa: E402
from matrix_adapter import Answer  # noqa: E402

job = json.loads(sys.stdin.readline())
if sys.argv[1] == "silent":
    sys.exit(127)
if sys.argv[1] == "falls":
    job["http"] = "1.1"
answer = Answer()
client_curl.run(job, answer)
events = [event for event in answer.events if '"source":"gateway"' not in event[2]]
if sys.argv[1] == "drops":
    answer.events.remove(events[-1])
elif sys.argv[1] == "whole":
    answer.events, answer.end, answer.error, answer.outcome = events, "closed", None, "completed"
print(json.dumps({"name": "liar", "version": "1", **answer.object()}))

"""An agent run whose events a gateway delivers: python worker.py RUN_ID [REDIS_URL]"""
import json
import sys
import time

import redis

RUN = sys.argv[1]
db = redis.Redis.from_url(sys.argv[2] if len(sys.argv) > 2 else "redis://127.0.0.1:6379", decode_responses=True)
EVENTS, CANCEL = f"ai:run:{RUN}:events", f"ai:run:{RUN}:cancel"


def tell(event, data):
    db.xadd(EVENTS, {"event": event, "data": data if isinstance(data, str) else json.dumps(data)})
    db.expire(EVENTS, 3600)


def work():
    tell("status", {"state": "started"})
    for word in "Every note is held until it has been heard".split():
        if db.exists(CANCEL):
            return "cancelled", "somebody asked for it"
        tell("delta", word)
        time.sleep(0.05)
    tell("complete", {"words": 9})
    return "completed", "the worker has said everything"


try:
    outcome, reason = work()
except Exception as error:
    outcome, reason = "upstream_error", str(error)
db.xadd(EVENTS, {"end": outcome, "reason": reason})

"""Reads every file that `fermata flags` writes in a rollout with flagd's Python provider, and compares the decisions.

    v2/bin/python Tests/Differential/rollout.py .build/debug/fermata
    v3/bin/python Tests/Differential/rollout.py .build/debug/fermata

The environments are those of flagd.py. The rollout goes through all phases around a rule of the operator's own, is
killed, taken back, finished and cleared. Exit status 1 on any difference.
"""

import argparse
import importlib.metadata
import json
import logging
import os
import subprocess
import sys
import tempfile

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError

logging.disable(logging.CRITICAL)

KEY = "stream-closing"
OWN_RULE = {"if": [{"sem_ver": [{"var": "version"}, "<", "2.3.0"]}, "shield", {"$ref": "rollout:" + KEY}]}
START = ["rollout", "start", "--variant", "graceful", "--internal", "qa-1", "--internal", "é", "--internal-header",
         "x-internal=1", "--min-duration", "0s", "--min-streams", "0", "--min-identities", "0"]
# Stands for the revision in which the rollout was aborted.
ABORTED = "ABORTED"
STEPS = [
    START, ["rollout", "advance"], ["rollout", "allow", "add", "key-7"], ["rollout", "advance"], ["kill"], ["enable"],
    ["kill", "--hard"], ["enable"], ["rollout", "hold"], ["rollout", "resume"], ["rollout", "advance"],
    ["rollout", "abort"], ["rollout", "resume", "--ack", ABORTED], ["rollout", "plan", "--plan", "1,10,60,100"],
    ["rollout", "advance"], ["rollout", "advance"], ["rollout", "advance"], ["rollout", "finish"], ["rollout", "clear"],
    ["set", "--default", "shield"], ["revert", "3"],
]


def document(generation, with_rule):
    flag = {"state": "ENABLED", "variants": {name: name for name in ("legacy", "shield", "graceful")},
            "defaultVariant": "legacy"}
    result = {"flags": {KEY: flag}, "metadata": {"flagSetId": "gateway", "version": "1", "fractional": generation}}
    if with_rule:
        flag["targeting"] = OWN_RULE
        result["$evaluators"] = {"rollout:" + KEY: {"if": [True, "legacy"]}}
    return result


def contexts(count):
    for index in range(count):
        context = {"targetingKey": f"key-{index}", "version": ["2.2.9", "2.3.0", "3.0.0", "junk"][index % 4]}
        if index % 50 == 0:
            context["targetingKey"] = ["qa-1", "é"][index // 50 % 2]
        if index % 50 == 1:
            context["headers"] = {"x-internal": "1"}
        if index % 50 == 2:
            del context["targetingKey"]
        yield context


def theirs(core, context):
    attributes = {name: value for name, value in context.items() if name != "targetingKey"}
    try:
        details = core.resolve_string_value(KEY, "", EvaluationContext(context.get("targetingKey"), attributes))
    except OpenFeatureError as error:
        return None, error.error_code.value
    return details.variant, str(getattr(details.reason, "value", details.reason))


def ours(program, path, clients):
    lines = "\n".join(json.dumps(client) for client in clients)
    answers = subprocess.run(
        [program, "flags", "eval", "--file", path, "--contexts", "-"], input=lines.encode(), stdout=subprocess.PIPE,
        check=True).stdout.decode().splitlines()
    return [json.loads(line) for line in answers]


def compare(program, path, clients, step):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    core = FlagdCore()
    core.set_flags(text)
    differences = 0
    for client, answer in zip(clients, ours(program, path, clients), strict=True):
        here = answer["variant"], answer["errorCode"] or answer["reason"]
        there = theirs(core, client)
        if here[0] != there[0] or (here[0] is not None and here[1] != there[1]):
            differences += 1
            if differences <= 3:
                print(f"{step}: {json.dumps(client)}: here {here}, there {there}")
    return differences


def evaluator_file(name, text, generation):
    """A file whose rule asks an evaluator of that name, which knows the client of that name."""
    flag = {"state": "ENABLED", "variants": {variant: variant for variant in ("legacy", "shield", "graceful")},
            "defaultVariant": "legacy", "targeting": {"if": [{"sem_ver": [{"var": "version"}, "<", "2.3.0"]}, "shield",
                                                              {"$ref": name}]}}
    rule = {"if": [{"in": [{"var": ["targetingKey", ""]}, [text, "qa"]]}, "graceful", "legacy"]}
    return {"flags": {KEY: flag}, "$evaluators": {name: rule}, "metadata": {"version": "1", "fractional": generation}}


def compare_evaluators(program, generation):
    """Whether `fermata flags lint` refuses exactly the evaluators that the provider refuses, or reads differently."""
    texts = ["a", "é", "日本", 'q"x', "b\\x", "b\\u0041", "n\nl", "t\tx", "\x7f", "\x01", "g\\1", "sl/ash", "<&>", "a b", "(x)+"]
    samples = [("rollout:" + KEY, text) for text in texts] + [(name, "a") for name in texts if name not in ("\x7f", "\x01")]
    differences = 0
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "flags.json")
        for name, text in samples:
            written = evaluator_file(name, text, generation)
            with open(path, "w", encoding="utf-8") as file:
                json.dump(written, file)
            core = FlagdCore()
            try:
                core.set_flags(json.dumps(written))
                is_read = theirs(core, {"targetingKey": text, "version": "3.0.0"})[0] == "graceful"
            except Exception:  # pylint: disable=broad-exception-caught
                is_read = False
            lint = subprocess.run([program, "flags", "lint", path], stdout=subprocess.PIPE, check=False)
            if (lint.returncode == 0) != is_read:
                differences += 1
                print(f"evaluator {name!r} with {text!r}: read {is_read}, lint {lint.returncode} {lint.stdout.decode()}")
    return len(samples), differences


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--keys", type=int, default=10000)
    options = parser.parse_args()
    version = importlib.metadata.version("openfeature-flagd-core")
    generation = "v2" if version.startswith("1.") else "v3"
    clients = list(contexts(options.keys))
    files = differences = 0
    for with_rule in (False, True):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "flags.json")
            # In an evaluator of a rule of one's own that provider takes ASCII alone.
            steps = [[word.replace("é", "e") for word in step] if with_rule else step for step in STEPS]
            with open(path, "w", encoding="utf-8") as file:
                json.dump(document(generation, with_rule), file)
            aborted = None
            for step in steps:
                step = [aborted if word == ABORTED else word for word in step]
                run = subprocess.run(
                    [options.program, "flags", *step, "--file", path, "--reason", "test", "--json"],
                    stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)
                if run.returncode != 0:
                    print(f"{step} ended with {run.returncode}: {run.stdout.decode()}")
                    return 1
                if step[-1] == "abort":
                    aborted = str(json.loads(run.stdout)["data"]["revision"])
                files += 1
                differences += compare(options.program, path, clients, step)
    samples, refusals = compare_evaluators(options.program, generation)
    print(f"{samples} evaluators: {refusals} differences in what is refused")
    print(f"flagd-core {version}, fractional {generation}: {files} files x {len(clients)} clients: "
          f"{differences} differences")
    return 1 if differences or refusals else 0


if __name__ == "__main__":
    sys.exit(main())

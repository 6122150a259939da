"""Compares `fermata flags eval` with the official Python provider of flagd: random portable rules, random clients.

    python3 -m venv v2 && v2/bin/pip install openfeature-provider-flagd==0.5.2 openfeature-flagd-core==1.0.0
    python3 -m venv v3 && v3/bin/pip install openfeature-provider-flagd
    v2/bin/python Tests/Differential/flagd.py .build/debug/fermata
    v3/bin/python Tests/Differential/flagd.py .build/debug/fermata

The generation of `fractional` is that of the installed flagd-core (1: v2, 2: v3). Exit status 1 on any difference;
the seed is printed, and repeats a run with --seed.
"""

import argparse
import importlib.metadata
import json
import logging
import os
import random
import subprocess
import sys
import tempfile

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError

# The provider logs every evaluation without a targeting key.
logging.disable(logging.CRITICAL)

VARIANTS = {"legacy": "l", "shield": "s", "graceful": "g"}


class Rules:
    """Random rules inside the portable profile."""

    def __init__(self, source):
        self.random = source

    def version(self):
        text = ".".join(str(self.random.randint(0, 3)) for _ in range(3))
        return text + self.random.choice(["", "", "", "-rc.1", "-rc.11", "+build"])

    def text(self, depth):
        choices = [
            lambda: {"var": [self.random.choice(["client", "route", "tenant"]), ""]},
            lambda: self.random.choice(["acme-web", "acme-app", "é", "eu-west", ""]),
            lambda: {"var": ["headers.x-region", ""]},
        ]
        if depth > 0:
            choices.append(lambda: {"cat": ["s-", {"var": ["targetingKey", ""]}, self.random.choice(["-a", "é"])]})
        return self.random.choice(choices)()

    def number(self, depth):
        if depth > 0 and self.random.random() < 0.4:
            operator = self.random.choice(["+", "-", "*"])
            return {operator: [self.number(depth - 1), self.number(depth - 1)]}
        return self.random.choice([{"var": ["n", 0]}, self.random.randint(-5, 50), 0.5])

    def condition(self, depth):
        kinds = ["equal", "in", "list", "compare", "version", "affix", "flag"]
        if depth > 0:
            kinds += ["and", "or", "not"]
        kind = self.random.choice(kinds)
        if kind == "equal":
            operator = self.random.choice(["==", "!=", "===", "!=="])
            return {operator: [{"var": "client"}, self.random.choice(["acme-web", "acme-app", ""])]}
        if kind == "in":
            return {"in": [self.random.choice(["acme", "e", "é", "-w"]), self.text(depth)]}
        if kind == "list":
            return {"in": [self.text(depth), ["acme-web", "eu-west", "k-17", "é"]]}
        if kind == "compare":
            operator = self.random.choice(["<", "<=", ">", ">="])
            arguments = [self.number(depth), self.number(depth)]
            if operator in ("<", "<=") and self.random.random() < 0.3:
                arguments.append(self.number(0))
            return {operator: arguments}
        if kind == "version":
            operator = self.random.choice(["=", "!=", "<", "<=", ">", ">=", "~", "^"])
            return {"sem_ver": [{"var": "version"}, operator, self.version()]}
        if kind == "affix":
            return {self.random.choice(["starts_with", "ends_with"]): [self.text(0), self.random.choice(["acme", "web", ""])]}
        if kind == "flag":
            return {"==": [{"var": ["internal", False]}, True]}
        if kind == "not":
            return {"!": [self.condition(depth - 1)]}
        return {kind: [self.condition(depth - 1) for _ in range(self.random.randint(1, 3))]}

    def fraction(self):
        shares = [[name, self.random.choice([0, 1, 5, 100, 2500, 7500])] for name in VARIANTS]
        self.random.shuffle(shares)
        shares = shares[: self.random.randint(1, 3)]
        if all(weight == 0 for _, weight in shares):
            shares[0][1] = 1
        if self.random.random() < 0.4:
            seed = self.random.choice([{"var": "$flagd.flagKey"}, "seed"])
            return {"fractional": [{"cat": [seed, {"var": ["targetingKey", ""]}]}] + shares}
        return {"fractional": shares}

    def result(self, depth):
        kind = self.random.random()
        if kind < 0.5:
            return self.fraction()
        if kind < 0.8 or depth == 0:
            return self.random.choice(list(VARIANTS) + [None])
        return self.rule(depth - 1)

    def rule(self, depth):
        clauses = []
        for _ in range(self.random.randint(1, 3)):
            clauses += [self.condition(2), self.result(depth)]
        return {"if": clauses + [self.result(depth)]}


def contexts(source, count):
    rules = Rules(source)
    for index in range(count):
        context = {"client": source.choice(["acme-web", "acme-app", "curl", "é"]), "n": source.randint(-5, 60)}
        if source.random() < 0.95:
            context["targetingKey"] = source.choice([f"k-{index}", f"é{index}", str(source.getrandbits(128))])
        if source.random() < 0.9:
            context["version"] = source.choice([rules.version(), rules.version(), "2", "v1.2", "junk"])
        if source.random() < 0.5:
            context["headers"] = {"x-region": source.choice(["eu-west", "us"])}
        if source.random() < 0.3:
            context["internal"] = source.random() < 0.5
        yield context


def expected(core, context):
    attributes = {name: value for name, value in context.items() if name != "targetingKey"}
    try:
        details = core.resolve_string_value(
            "f", "", EvaluationContext(context.get("targetingKey"), attributes))
    except OpenFeatureError as error:
        return None, "ERROR", error.error_code.value
    return details.variant, str(getattr(details.reason, "value", details.reason)), None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--rules", type=int, default=20)
    parser.add_argument("--keys", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    core_version = importlib.metadata.version("openfeature-flagd-core")
    generation = "v2" if core_version.startswith("1.") else "v3"
    print(f"flagd-core {core_version}, fractional {generation}, seed {options.seed}")
    source = random.Random(options.seed)
    differences = 0
    with tempfile.TemporaryDirectory() as directory:
        for number in range(options.rules):
            differences += compare(options, source, generation, os.path.join(directory, f"{number}.json"))
    print(f"{options.rules} rules x {options.keys} clients: {differences} differences")
    return 1 if differences else 0


def compare(options, source, generation, path):
    document = {
        "flags": {"f": {"state": "ENABLED", "variants": VARIANTS, "defaultVariant": "legacy",
                        "targeting": Rules(source).rule(2)}},
        "metadata": {"fractional": generation},
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    clients = list(contexts(source, options.keys))
    lines = "\n".join(json.dumps(client) for client in clients)
    answers = subprocess.run(
        [options.program, "flags", "eval", "--file", path, "--contexts", "-"], input=lines.encode(),
        stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()
    assert len(answers) == len(clients), (len(answers), len(clients))
    core = FlagdCore()
    core.set_flags(json.dumps(document))
    differences = 0
    for client, line in zip(clients, answers):
        answer = json.loads(line)
        ours = (answer["variant"], answer["reason"], answer["errorCode"])
        theirs = expected(core, client)
        if ours != theirs:
            differences += 1
            if differences <= 3:
                rule = json.dumps(document["flags"]["f"]["targeting"])
                print(f"{rule}\n  {json.dumps(client)}\n  here {ours}, there {theirs}")
    return differences


if __name__ == "__main__":
    sys.exit(main())

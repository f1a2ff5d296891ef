"""Actors with Ray, on one machine.

Owns: both ends of it. Must not know: what the figures mean. Ray starts processes and threads of its
own, which are where the kernel puts them.
"""

import logging
import os
import sys

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
import ray

import measure
from measure import now, say


@ray.remote(num_cpus=0)
class Far:
    def square(self, x):
        return x * x

    def echo(self, data):
        return data

    def own_pid(self):
        return os.getpid()

    def pour(self, count):
        for _ in range(count):
            yield measure.MESSAGE


def timed(work):
    end, samples = now() + measure.LASTING, []
    while now() < end:
        began = now()
        work()
        samples.append(now() - began)
    return samples


def call(far):
    return {"samples": timed(lambda: ray.get(far.square.remote(12)))}


def echoes(far):
    payload = b"\x07" * measure.LARGE

    def once():
        assert len(ray.get(far.echo.remote(payload))) == measure.LARGE

    for _ in range(measure.FIRST_LARGE):
        once()
    return {"samples": timed(once)}


def flight(far):
    began, count = now(), 0
    flying = [far.square.remote(12) for _ in range(measure.FLYING)]
    while flying:
        done, flying = ray.wait(flying, num_returns=1)
        ray.get(done)
        count += len(done)
        if now() < began + measure.LASTING:
            flying += [far.square.remote(12) for _ in done]
    return {"count": count, "nanoseconds": now() - began}


def pour(far, count):
    began = now()
    messages = far.pour.options(num_returns="streaming").remote(count)
    assert sum(1 for message in messages if len(ray.get(message)) == 16) == count
    return now() - began


def stream(far):
    pour(far, measure.FIRST_MESSAGES)
    return {"count": measure.MESSAGES, "nanoseconds": pour(far, measure.MESSAGES)}


MEASURED = {"call": call, "echo": echoes, "flight": flight, "stream": stream}


def spawn():
    samples = []
    for _ in range(measure.STARTS):
        began = now()
        far = Far.remote()
        assert ray.get(far.square.remote(3)) == 9
        samples.append(now() - began)
        ray.kill(far)
    return {"samples": samples}


def memory():
    alike = [Far.remote() for _ in range(measure.ALIKE)]
    pids = ray.get([far.own_pid.remote() for far in alike])
    private = [measure.private_bytes(pid) for pid in pids]
    for far in alike:
        ray.kill(far)
    return {"bytes": private}


def one(name):
    if name in ("spawn", "memory"):
        return {"spawn": spawn, "memory": memory}[name]()
    far = Far.remote()
    for x in range(measure.WARM_UP):
        assert ray.get(far.square.remote(x)) == x * x
    measured = MEASURED[name](far)
    ray.kill(far)
    return measured


def main():
    core, *measurements = sys.argv[1:]
    assert core == "-", "Ray's threads cannot be placed"
    ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    say(version=ray.__version__)
    for name in measurements:
        say(measurement=name, **one(name))
    ray.shutdown()


if __name__ == "__main__":
    main()

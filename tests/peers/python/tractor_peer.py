"""Actors with tractor, in two processes over loopback TCP.

Owns: both ends of it. Must not know: what the figures mean.
"""

import importlib.metadata
import os
import sys

import tractor
import trio

import measure
from measure import now, say


async def square(x):
    return x * x


async def echo(data):
    return data


async def own_pid():
    return os.getpid()


async def pin(core):
    os.sched_setaffinity(0, {core})


@tractor.context
async def take(ctx):
    await ctx.started()
    count = 0
    async with ctx.open_stream() as stream:
        async for _ in stream:
            count += 1
    return count


async def start(nursery, core, name="far"):
    portal = await nursery.start_actor(name, enable_modules=[__name__])
    if core != "-":
        await portal.run(pin, core=int(core))
    return portal


async def timed(work):
    end, samples = now() + measure.LASTING, []
    while now() < end:
        began = now()
        await work()
        samples.append(now() - began)
    return samples


async def call(portal):
    async def once():
        assert await portal.run(square, x=12) == 144

    return {"samples": await timed(once)}


async def echoes(portal):
    payload = b"\x07" * measure.LARGE

    async def once():
        assert len(await portal.run(echo, data=payload)) == measure.LARGE

    for _ in range(measure.FIRST_LARGE):
        await once()
    return {"samples": await timed(once)}


async def flight(portal):
    began, count = now(), 0

    async def repeat():
        nonlocal count
        while now() < began + measure.LASTING:
            await portal.run(square, x=12)
            count += 1

    async with trio.open_nursery() as tasks:
        for _ in range(measure.FLYING):
            tasks.start_soon(repeat)
    return {"count": count, "nanoseconds": now() - began}


async def pour(portal, count):
    async with portal.open_context(take) as (ctx, _):
        began = now()
        async with ctx.open_stream() as stream:
            for _ in range(count):
                await stream.send(measure.MESSAGE)
        assert await ctx.result() == count
        return now() - began


async def stream(portal):
    await pour(portal, measure.FIRST_MESSAGES)
    return {"count": measure.MESSAGES, "nanoseconds": await pour(portal, measure.MESSAGES)}


MEASURED = {"call": call, "echo": echoes, "flight": flight, "stream": stream}


async def spawn(core):
    samples = []
    async with tractor.open_nursery() as nursery:
        for number in range(measure.STARTS):
            began = now()
            portal = await start(nursery, core, f"far{number}")
            assert await portal.run(square, x=3) == 9
            samples.append(now() - began)
            await portal.cancel_actor()
    return {"samples": samples}


async def memory(core):
    async with tractor.open_nursery() as nursery:
        portals = [await start(nursery, core, f"alike{n}") for n in range(measure.ALIKE)]
        pids = [await portal.run(own_pid) for portal in portals]
        private = [measure.private_bytes(pid) for pid in pids]
        await nursery.cancel()
    return {"bytes": private}


async def one(core, name):
    if name in ("spawn", "memory"):
        return await {"spawn": spawn, "memory": memory}[name](core)
    async with tractor.open_nursery() as nursery:
        portal = await start(nursery, core)
        for x in range(measure.WARM_UP):
            assert await portal.run(square, x=x) == x * x
        measured = await MEASURED[name](portal)
        await nursery.cancel()
    return measured


def main():
    # Where the far ends find the modules.
    os.environ["PYTHONPATH"] = os.path.dirname(os.path.abspath(__file__))
    core, *measurements = sys.argv[1:]
    say(version=importlib.metadata.version("tractor"))
    for name in measurements:
        say(measurement=name, **trio.run(one, core, name))


if __name__ == "__main__":
    main()

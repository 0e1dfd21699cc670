"""Processes that all do the same thing at the same moment, each with a source of its own."""

import gc
import logging
import os
import threading
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import django
from django.conf import settings
from django.core.cache import caches
from django.db import connection, connections

SPAWN = get_context("spawn")


class Fleet:
    """Runs functions of this module in each of its processes.

    Args:
        size: how many processes.
        site: their Django settings.
    """

    def __init__(self, size, site):
        self.size = size
        self.pool = ProcessPoolExecutor(
            size, SPAWN, initializer=start, initargs=(site, SPAWN.Barrier(size))
        )

    def all(self, order, *args):
        """Return the answers of all; each waits for the others, so that it gets the order once."""
        futures = [self.pool.submit(in_step, order, *args) for _ in range(self.size)]
        return [future.result() for future in futures]

    def one(self, order, *args):
        return self.pool.submit(order, *args).result()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.pool.shutdown()


# What follows runs in the processes.


class Process:
    barrier = source = None


def start(site, barrier):
    configure(site)
    logging.disable()  # what peers have to say of a 503
    Process.barrier = barrier


def configure(site):
    # The endpoint is on loopback, without TLS.
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    settings.configure(**site)
    django.setup()


def in_step(order, *args):
    Process.barrier.wait(timeout=120)
    return order(*args)


def take(make, url, cache):
    settings.CERTN_CACHE_ALIAS = cache
    caches[cache].clear()
    Process.source = make(url, cache)


def grow_old():
    Process.source.grow_old()


def call(threads, rounds=1):
    """Let so many threads ask for the token; return, of each call, [token, seconds].

    A call that fails has no token.
    """
    barrier, results = threading.Barrier(threads), []

    def run():
        # As a thread that has served a request before, it is connected.
        connection.ensure_connection()
        caches[settings.CERTN_CACHE_ALIAS].get("")
        for _ in range(rounds):
            barrier.wait()
            began = time.perf_counter()
            try:
                token = Process.source.token()
            except Exception:  # noqa: BLE001 - that it failed is the result
                token = None
            results.append((token, time.perf_counter() - began))
        connections.close_all()

    workers = [threading.Thread(target=run) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return results


def memory(make, url, cache, names):
    """Return how many bytes it takes to hold a good token for one of these credentials."""
    settings.CERTN_CACHE_ALIAS = cache
    make.hold(url, cache, names[:1])  # what is made once
    gc.collect()
    tracemalloc.start()
    try:
        held = make.hold(url, cache, names)
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del held
    return size / len(names)

#!/usr/bin/python3
"""stall: says when the whole machine stood still.

Sleeps for 5 ms again and again, before everything else that runs here. What it oversleeps by more than 5 ms, the
lab's kernel did not get the processor for (or did not give it away): {"event": "stall", "at", "ms"}; on SIGTERM
{"event": "end", "stalls", "ms"}."""

import os
import signal
import sys
import time

STEP = 0.005


def main():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    stalls = total = 0
    print('{"event": "ready"}', flush=True)
    try:
        before = time.monotonic()
        while True:
            time.sleep(STEP)
            now = time.monotonic()
            over = 1000 * (now - before - STEP)
            before = now
            if over > 5:
                stalls += 1
                total += over
                print(f'{{"event": "stall", "at": {time.time_ns() // 1000}, "ms": {over:.1f}}}', flush=True)
    finally:
        print(f'{{"event": "end", "stalls": {stalls}, "ms": {total:.1f}}}', flush=True)


if __name__ == "__main__":
    main()

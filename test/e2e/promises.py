"""promises.py: what loads that check a server's promises share: how a lost answer looks, revisions, broken promises."""
import http.client
import threading

LOST = (OSError, http.client.HTTPException, ValueError)  # ValueError: half of a JSON text


class Report:
    def __init__(self):
        self.violations = 0
        self.lock = threading.Lock()

    def violation(self, text):
        with self.lock:
            self.violations += 1
            if self.violations <= 40:
                print(f"VIOLATION {text}", flush=True)


def revision(obj):
    return int(obj["metadata"]["resourceVersion"])

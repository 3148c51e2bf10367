#!/usr/bin/env python3
"""A complete plug-in for `portunus`: rotates the API key of a service that keeps the digests of its keys in a JSON file.

One question on standard input, one answer on standard output (docs/rotation.md). The service's file is named in the plan's
settings: {"plugin": "api-keys", "file": "/var/lib/service/keys.json"}. Keys are made here (`secret: theirs`), or given by
Portunus (`secret: ours`). To adapt it to another service, replace the four methods of `Service`.
"""

import fcntl
import hashlib
import json
import os
import secrets
import sys


class Permanent(Exception):
    """It cannot succeed as things are; Portunus need not try again."""


class Service:
    """Keys by id. Every method may be called twice: Portunus asks again when it could not note the first answer."""

    def __init__(self, path):
        self.path = path
        self.lock = open(path + ".lock", "a")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        try:
            with open(path, encoding="utf-8") as file:
                self.keys = json.load(file)
        except FileNotFoundError:
            self.keys = {}

    def put(self, account, secret):
        self.keys[account] = hashlib.sha256(secret.encode()).hexdigest()
        self._save()

    def works(self, secret):
        return hashlib.sha256(secret.encode()).hexdigest() in self.keys.values()

    def remove(self, account):
        if self.keys.pop(account, None) is not None:
            self._save()

    def account_of(self, secret):
        digest = hashlib.sha256(secret.encode()).hexdigest()
        return next((account for account, kept in self.keys.items() if kept == digest), None)

    def sweep(self, known, new):
        """Removes what an interrupted attempt made and nobody noted; not while a key that was added by hand could be it."""
        accounts = [one.get("account") for one in known if one["number"] != new]
        if None not in accounts:
            for account in [one for one in self.keys if one not in accounts]:
                self.remove(account)

    def _save(self):
        scratch = self.path + ".new"
        with open(scratch, "w", encoding="utf-8") as file:
            json.dump(self.keys, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, self.path)


def answer(question):
    if question.get("portunus_rotation") != 1:
        raise Permanent("this plug-in speaks version 1 of the contract")
    path = question["settings"].get("file")
    if not isinstance(path, str):
        raise Permanent("settings.file must name the service's file of keys")
    service, version, step = Service(path), question["version"], question["step"]
    # The same rotation always gives the same account, so that asking twice makes one key.
    account = version.get("account") or question["id"]

    if step == "create":
        service.sweep(question["known"], version["number"])
        secret = version.get("secret") or secrets.token_urlsafe(32)
        service.put(account, secret)
        made = {"account": account}
        return made if "secret" in version else {**made, "secret": secret}
    if step == "verify":
        if not service.works(version["secret"]):
            raise Permanent("the new key is refused")
        return {}
    if step in ("disable", "delete"):
        # A key that was added by hand has no account: it is found by itself.
        service.remove(version.get("account") or service.account_of(version.get("secret", "")))
        return {}
    if step == "undo":
        service.remove(account)
        service.sweep(question["known"], version["number"])
        return {}
    if step == "verify_dead":
        if "secret" not in version:
            return {"outcome": "unverifiable", "detail": "the old key is gone"}
        if service.works(version["secret"]):
            return {"outcome": "alive", "detail": "the service takes the old key"}
        return {"outcome": "dead", "detail": "the service refuses the old key"}
    raise Permanent("an unknown step")


def main():
    try:
        reply = {"ok": True, **answer(json.load(sys.stdin))}
    except Permanent as error:
        reply = {"ok": False, "permanent": True, "error": str(error)}
    except (OSError, ValueError, KeyError) as error:
        # Its kind only: the text could hold a secret.
        reply = {"ok": False, "error": type(error).__name__}
    json.dump(reply, sys.stdout)


if __name__ == "__main__":
    main()

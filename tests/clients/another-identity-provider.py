"""A real identity provider of another make (PyPI canaille), for the tests of signing in.

PROVIDER='{"port":…,"user":{…},"group":…,"client":{…}}' python another-identity-provider.py

`user` and `client` have the members of canaille's own models. Everything is kept in memory; one line is printed when it
listens.
"""

import json
import os

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

known = json.loads(os.environ["PROVIDER"])
signing = RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True)
app = create_app(
    config={
        "SECRET_KEY": os.urandom(32).hex(),
        "SERVER_NAME": f"127.0.0.1:{known['port']}",
        "PREFERRED_URL_SCHEME": "http",
        "CANAILLE": {"DATABASE": "memory"},
        # Nobody is trusted so far that the user is not asked.
        "CANAILLE_OIDC": {"ACTIVE_JWKS": [signing], "TRUSTED_DOMAINS": []},
    }
)
with app.app_context():
    user = models.User(**known["user"])
    Backend.instance.save(user)
    Backend.instance.save(models.Group(display_name=known["group"], members=[user]))
    client = models.Client(**known["client"])
    Backend.instance.save(client)
    # As its own registration does: a client is in the audience of its tokens.
    client.audience = [client]
    Backend.instance.save(client)

server = make_server("127.0.0.1", known["port"], app, threaded=True)
print("ready", flush=True)
server.serve_forever()

"""The commands of `zoo`, one file per subject, and the one table that names them.

A command is a function `register(parser) -> run`: it adds its arguments to its own parser and returns what then runs,
`run(arguments) -> exit code`. Its docstring is its help.
"""

from __future__ import annotations

from zoo.commands.bundle import bundle_command, install_command
from zoo.commands.cache import cache
from zoo.commands.common import Register
from zoo.commands.embed import embed
from zoo.commands.fetch import fetch
from zoo.commands.listing import info, list_models, url
from zoo.commands.publish import check, publish
from zoo.commands.registry import registry
from zoo.commands.serve import serve
from zoo.commands.sign import keygen, sign
from zoo.commands.site import site
from zoo.commands.verify import verify

COMMANDS: dict[str, Register] = {
    "list": list_models,
    "info": info,
    "url": url,
    "fetch": fetch,
    "verify": verify,
    "cache": cache,
    "bundle": bundle_command,
    "install": install_command,
    "embed": embed,
    "registry": registry,
    "site": site,
    "serve": serve,
    "publish": publish,
    "check-links": check,
    "keygen": keygen,
    "sign": sign,
}

# Commands that receive the words after `--`, in `arguments.handed_on`.
HAND_ON = {"embed"}

"""The commands of `zoo`, one file per subject, and the one table that names them.

A command is a function `register(parser) -> run`: it adds its arguments to its own parser and returns what then runs,
`run(arguments) -> exit code`. Its docstring is its help.
"""

from __future__ import annotations

from zoo.commands.bundle import bundle_command, install_command
from zoo.commands.cache import cache_command
from zoo.commands.common import Register
from zoo.commands.embed import embed_command
from zoo.commands.fetch import fetch_command
from zoo.commands.listing import info_command, list_command, url_command
from zoo.commands.publish import check_links_command, publish_command
from zoo.commands.registry import registry_command
from zoo.commands.serve import serve_command
from zoo.commands.sign import keygen_command, sign_command
from zoo.commands.site import site_command
from zoo.commands.verify import verify_command
from zoo.commands.wheel import wheel_command

COMMANDS: dict[str, Register] = {
    "list": list_command,
    "info": info_command,
    "url": url_command,
    "fetch": fetch_command,
    "verify": verify_command,
    "cache": cache_command,
    "bundle": bundle_command,
    "install": install_command,
    "wheel": wheel_command,
    "embed": embed_command,
    "registry": registry_command,
    "site": site_command,
    "serve": serve_command,
    "publish": publish_command,
    "check-links": check_links_command,
    "keygen": keygen_command,
    "sign": sign_command,
}

# Commands that receive the words after `--`, in `arguments.handed_on`.
HAND_ON = {"embed"}

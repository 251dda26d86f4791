"""Makes a program of app.py: compiled when the component is built, executed when it is run."""

import traceback
from pathlib import Path

from componentize_py_types import Err
from wit_world import exports

APP = compile(Path(__file__).with_name("app.py").read_text(), "app.py", "exec")


class Run(exports.Run):
    def run(self) -> None:
        try:
            exec(APP, {"__name__": "__main__"})
        except Exception:
            traceback.print_exc()
            raise Err(None)
